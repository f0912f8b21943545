"""Makes the n-th operation on a data folder fail, or ends the process there. Used by `test_durability.py` and
`crashing_store.py`.

What counts as an operation: every open, mkdir, rename, remove and rmdir below the folder (seen through Python's audit
events, so that it does not matter how they are called), every fsync, every text that is written, and every statement,
commit and rollback of SQLite.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_FILE_EVENTS = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir"}
_SQLITE_WORDS = {
    errno.ENOSPC: "database or disk is full",
    errno.EIO: "disk I/O error",
    errno.EACCES: "attempt to write a readonly database",
}
_real_fsync, _real_connect, _real_write_text = os.fsync, sqlite3.connect, Path.write_text
_active: Faults | None = None
_hooked = False


class Faults:
    """Counts operations and strikes at one of them.

    Args:
        folder: only what happens below it counts.
        at: which operation to strike at, from 1; 0 only counts.
        strike: called there with what is about to happen; raises, or does not return.
        lasting: strike at every later operation as well.
    """

    def __init__(self, folder: Path, at: int, strike: Callable[[str], None], lasting: bool = False) -> None:
        self._folder, self._at, self._strike, self._lasting = folder, at, strike, lasting
        self.operations: list[str] = []

    @property
    def struck(self) -> bool:
        """Whether it came to that operation."""
        return 0 < self._at <= len(self.operations)

    def reach(self, operation: str) -> None:
        """Called before each operation."""
        self.operations.append(operation)
        count = len(self.operations)
        if self._at and (count == self._at or (self._lasting and count > self._at)):
            self._strike(operation)

    def concerns(self, path: object) -> bool:
        """Whether a path is below the folder; relative ones come from rmtree, which works with open folders."""
        if not isinstance(path, (str, os.PathLike)):
            return False
        return Path(path).is_relative_to(self._folder) or not Path(path).is_absolute()


def failing(code: int) -> Callable[[str], None]:
    """A strike that raises what the operating system, or SQLite, would with this error number."""

    def strike(operation: str) -> None:
        if operation.startswith("sqlite"):
            raise sqlite3.OperationalError(_SQLITE_WORDS[code])
        raise OSError(code, os.strerror(code))

    return strike


@contextmanager
def injected(faults: Faults) -> Iterator[Faults]:
    """Strikes inside the block. Only inside `watching`."""
    global _active
    _active = faults
    try:
        yield faults
    finally:
        _active = None


class _WatchedConnection(sqlite3.Connection):
    def execute(self, statement, *values):
        _reach(f"sqlite {statement.split()[0]}")
        return super().execute(statement, *values)

    def executemany(self, statement, values):
        _reach(f"sqlite {statement.split()[0]}")
        return super().executemany(statement, values)

    def commit(self):
        _reach("sqlite commit")
        return super().commit()

    def rollback(self):
        _reach("sqlite rollback")
        return super().rollback()


def _reach(operation: str) -> None:
    if _active is not None:
        _active.reach(operation)


def _fsync(handle: int) -> None:
    _reach("fsync")
    _real_fsync(handle)


def _write_text(path: Path, text: str, *arguments, **named):
    try:
        _reach("write")
    except OSError:
        _real_write_text(path, text[: len(text) // 2])  # the disk was full halfway
        raise
    return _real_write_text(path, text, *arguments, **named)


def _connect(*arguments, **named):
    return _real_connect(*arguments, factory=_WatchedConnection, **named)


def _audit(event: str, arguments: tuple) -> None:
    if _active is not None and event in _FILE_EVENTS and _active.concerns(arguments[0]):
        _active.reach(event)


@contextmanager
def watching() -> Iterator[None]:
    """Puts the watchers in place: stores that are opened inside the block can be struck."""
    global _hooked
    if not _hooked:
        sys.addaudithook(_audit)  # can't be taken back; it does nothing outside `injected`
        _hooked = True
    os.fsync, sqlite3.connect, Path.write_text = _fsync, _connect, _write_text
    try:
        yield
    finally:
        os.fsync, sqlite3.connect, Path.write_text = _real_fsync, _real_connect, _real_write_text
