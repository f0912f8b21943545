"""A copy of the lessons to work in, so that what a learner changes is no change of the checkout.

`python -m helpers.lessons FOLDER`, or `copy_lessons(FOLDER)` in Python.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from . import console, renaming
from .language import _, chosen

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
        raise ValueError(
            _("{target} is there already, and nothing in it is changed: name a folder that is not.", target=target)
        )
    if not LESSONS.is_dir():
        raise FileNotFoundError(_("These helpers were installed without the lessons: call this from a clone."))
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".lessons-", dir=target.parent) as staging:  # no half of a copy is left
        made = Path(staging) / target.name
        shutil.copytree(LESSONS, made, ignore=shutil.ignore_patterns(".ipynb_checkpoints", "__pycache__"))
        renaming.replace(made, target)
    return target


def _index(folder: Path) -> Path:
    """The page that lists the lessons in the language of the helpers, or the English one."""
    page = folder / chosen() / "README.md"
    return page if page.exists() else folder / "README.md"


def main() -> int:
    """Copies the lessons into the folder that the command names, and says how to open them; 1 if it can't."""
    console.take_any_text()
    parser = argparse.ArgumentParser(prog="python -m helpers.lessons", description=_("Copies the lessons to work in."))
    parser.add_argument("folder", help=_("where to; it must not be there yet"))
    try:
        folder = copy_lessons(parser.parse_args().folder)
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    print(
        _(
            "The lessons are in {folder}. Open them: {jupyter} lab {page}",
            folder=folder,
            jupyter=Path(sys.executable).parent / "jupyter",
            page=_index(folder),
        )
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
