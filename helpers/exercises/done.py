"""What a learner has done: which exercises are solved and which questions answered, in a file in the per-user folder.

Written by `attempt` and `quiz.py`; `progress` shows it. A file that can't be read or written is no reason to stop a
lesson: then nothing is kept.
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

from ..private_file import write_json

FILE = "progress.json"
KINDS = ("exercises", "questions")


def keep(kind: str, name: str) -> None:
    """Notes that an exercise is solved or a question answered."""
    noted = kept()
    if name in noted[kind]:
        return
    noted[kind].append(name)
    with contextlib.suppress(OSError):
        _file().parent.mkdir(parents=True, exist_ok=True)
        write_json(_file(), noted)


def kept() -> dict[str, list[str]]:
    """The names of what is done, by kind, in the order in which it was done."""
    found = {}
    with contextlib.suppress(OSError, ValueError):
        found = json.loads(_file().read_text(encoding="utf-8"))
    found = found if isinstance(found, dict) else {}
    lists = {kind: found.get(kind) if isinstance(found.get(kind), list) else [] for kind in KINDS}
    return {kind: [name for name in names if isinstance(name, str)] for kind, names in lists.items()}


def _file() -> Path:
    from ..service import paths  # late: a lesson that only checks needs nothing but the standard library

    return paths.data_dir() / FILE
