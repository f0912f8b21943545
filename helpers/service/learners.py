"""How far each workspace has come: calls, when the last one was, exercises done. Numbers only, no prompt and no token.

    <data>/learners.sqlite3

Made by `calls.py`, called by `http/guard.py` and `http/room.py` as calls come, and by `overview.py`, which reads the
file beside a running service; methods may be called from several threads. Calls are counted in memory and written a few
seconds later, so that counting delays none of them; a kill loses these seconds.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path

from .database import Database, usable

LEARNERS_FILE = "learners.sqlite3"
WRITE_SECONDS = 3.0

_SCHEMA = """
CREATE TABLE IF NOT EXISTS calls (workspace TEXT PRIMARY KEY, count INTEGER NOT NULL, last TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS exercises (
    workspace TEXT NOT NULL, lesson INTEGER NOT NULL, done INTEGER NOT NULL, there INTEGER NOT NULL,
    PRIMARY KEY (workspace, lesson)
);
"""


@dataclass(frozen=True)
class LessonDone:
    """How many of a lesson's exercises and questions are done, and how many there are."""

    lesson: int
    done: int
    there: int


@dataclass(frozen=True)
class Learner:
    """What is known of a workspace.

    Attributes:
        calls: how many calls of the API it has made.
        last: when the last one was, None if there was none.
        lessons: how far it is in each lesson it has begun.
    """

    calls: int = 0
    last: datetime | None = None
    lessons: tuple[LessonDone, ...] = ()


class Learners:
    """The counts of all workspaces.

    Args:
        data: folder to keep them in; it exists.

    Raises:
        Failed: the folder can't be used; the message says why and what to do.
    """

    def __init__(self, data: Path) -> None:
        self._lock = threading.Lock()
        self._new: dict[str, tuple[int, datetime]] = {}  # calls that are not written yet, and when the last one was
        self._timer: threading.Timer | None = None
        with usable("counts of learners", data):
            self._database = Database(data / LEARNERS_FILE, _SCHEMA)

    def called(self, workspace: str) -> None:
        """Counts a call."""
        with self._lock:
            count, _ = self._new.get(workspace, (0, None))
            self._new[workspace] = (count + 1, datetime.now(timezone.utc))
            if self._timer is None:
                self._timer = threading.Timer(WRITE_SECONDS, self._write)
                self._timer.daemon = True
                self._timer.start()

    def report(self, workspace: str, lessons: Iterable[LessonDone]) -> None:
        """Keeps how far a workspace is in its lessons, instead of what it said before."""
        rows = [(workspace, one.lesson, one.done, one.there) for one in lessons]
        with self._database.writing() as database:
            database.execute("DELETE FROM exercises WHERE workspace = ?", (workspace,))
            database.executemany("INSERT OR REPLACE INTO exercises VALUES (?, ?, ?, ?)", rows)

    def forget(self, workspace: str) -> None:
        """Forgets a workspace."""
        with self._lock:
            self._new.pop(workspace, None)
        with self._database.writing() as database:
            database.execute("DELETE FROM calls WHERE workspace = ?", (workspace,))
            database.execute("DELETE FROM exercises WHERE workspace = ?", (workspace,))

    def close(self) -> None:
        """Writes what is counted, and closes the file."""
        self._write()
        self._database.close()

    def _write(self) -> None:
        """Writes what is counted. What the disk refuses is lost, as no one waits who could be told."""
        with self._lock:
            new, self._new = self._new, {}
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
        rows = [(workspace, count, last.isoformat()) for workspace, (count, last) in new.items()]
        if not rows:
            return
        with contextlib.suppress(OSError, sqlite3.Error), self._database.writing() as database:
            database.executemany(
                "INSERT INTO calls VALUES (?, ?, ?) ON CONFLICT (workspace)"
                " DO UPDATE SET count = count + excluded.count, last = excluded.last",
                rows,
            )


def found(database: sqlite3.Connection) -> dict[str, Learner]:
    """Each workspace that has called or reported, in the database of `Learners`."""
    calls = database.execute("SELECT workspace, count, last FROM calls").fetchall()
    lessons = database.execute("SELECT * FROM exercises ORDER BY workspace, lesson").fetchall()
    learners = {workspace: Learner(count, datetime.fromisoformat(last)) for workspace, count, last in calls}
    for workspace, *numbers in lessons:
        before = learners.get(workspace, Learner())
        learners[workspace] = replace(before, lessons=(*before.lessons, LessonDone(*numbers)))
    return learners
