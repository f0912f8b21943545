"""Run by the hub for each learner, as whom and in whose home it runs them: makes their copy of the lessons at the first
login, then serves it.
"""

from pathlib import Path

from jupyterhub.singleuser import main

from helpers.lessons import copy_lessons

if __name__ == "__main__":
    lessons = Path.home() / "lessons"
    if not lessons.exists():
        copy_lessons(lessons)
    main()
