"""What each workspace of a data folder has and has done, for an instructor: numbers only.

Read from the databases themselves, so it needs no service and disturbs none. Called by `commands.py`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from . import collection_store, learners, store
from .collection_store import COLLECTIONS_FILE
from .database import looking, usable
from .learners import LEARNERS_FILE, Learner
from .store import ADAPTERS_FILE

Counts = TypeVar("Counts")


@dataclass(frozen=True)
class Workspace:
    """One workspace.

    Attributes:
        name: its id.
        adapters, collections, files: how many it has.
        bytes: of all of them on disk, with passages and vectors.
        learner: its calls and exercises.
    """

    name: str
    adapters: int
    collections: int
    files: int
    bytes: int
    learner: Learner


def workspaces(data: Path) -> list[Workspace]:
    """All workspaces, by name.

    Args:
        data: the service's data folder; one that no service has run on has none.

    Raises:
        Failed: it can't be read; the message says why.
    """
    with usable("workspaces", data):
        adapters = _read(data / ADAPTERS_FILE, partial(store.usage, data=data))
        kept = _read(data / COLLECTIONS_FILE, collection_store.usage)
        done = _read(data / LEARNERS_FILE, learners.found)
    return [
        _workspace(name, adapters.get(name, store.Usage()), kept.get(name, collection_store.Usage()), done.get(name))
        for name in sorted({*adapters, *kept, *done})
    ]


def _workspace(name: str, adapters: store.Usage, kept: collection_store.Usage, learner: Learner | None) -> Workspace:
    total = adapters.bytes + kept.bytes
    return Workspace(name, adapters.adapters, kept.collections, kept.files, total, learner or Learner())


def _read(path: Path, read: Callable[[sqlite3.Connection], dict[str, Counts]]) -> dict[str, Counts]:
    if not path.exists():
        return {}
    with looking(path) as database:
        return read(database)
