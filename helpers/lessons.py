"""A copy of the lessons to work in, so that what a learner changes is no change of the checkout.

`python -m helpers.lessons FOLDER`, or `copy_lessons(FOLDER)` in Python.
"""

from __future__ import annotations

import argparse
import secrets
import shutil
import sys
from pathlib import Path

from . import console

LESSONS = Path(__file__).parents[1] / "notebooks"


def copy_lessons(folder: str | Path) -> Path:
    """Copies notebooks, data and pictures into a folder that is not there yet.

    Args:
        folder: where to; `~` is the home folder.

    Returns:
        The folder.

    Raises:
        ValueError: something of this name is there already; nothing is changed then.
        FileNotFoundError: the helpers were installed without the lessons beside them.
    """
    target = Path(folder).expanduser().absolute()
    if target.exists():
        raise ValueError(f"{target} is there already, and nothing in it is changed: name a folder that is not.")
    if not LESSONS.is_dir():
        raise FileNotFoundError("These helpers were installed without the lessons: call this from a clone.")
    staging = target.with_name(f".{target.name}.{secrets.token_hex(4)}")  # who is interrupted leaves no half of a copy
    shutil.copytree(LESSONS, staging, ignore=shutil.ignore_patterns(".ipynb_checkpoints", "__pycache__"))
    return staging.rename(target)


def main() -> int:
    """Copies the lessons into the folder that the command names, and says how to open them; 1 if it can't."""
    console.take_any_text()
    parser = argparse.ArgumentParser(prog="python -m helpers.lessons", description="Copies the lessons to work in.")
    parser.add_argument("folder", help="where to; it must not be there yet")
    try:
        folder = copy_lessons(parser.parse_args().folder)
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    print(
        f"The lessons are in {folder}. Open them: {Path(sys.executable).parent / 'jupyter'} lab {folder / 'README.md'}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
