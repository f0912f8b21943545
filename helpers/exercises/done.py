"""Which exercises and questions a person has solved: an empty file each, in the per-user folder.

So kernels beside each other can't lose one another's, and a copy of the lessons knows what was done in another. Called
by `__init__.py`.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

FOLDER = "exercises"


def mark(name: str) -> None:
    """Remembers that one is solved, where the folder can be written."""
    with contextlib.suppress(OSError):
        _folder().mkdir(parents=True, exist_ok=True)
        (_folder() / name).touch()


def names() -> set[str]:
    """Those that were solved."""
    with contextlib.suppress(OSError):
        return {path.name for path in _folder().iterdir()}
    return set()


def _folder() -> Path:
    from ..service import paths  # loads platformdirs, which importing this must not

    return paths.data_dir() / FOLDER
