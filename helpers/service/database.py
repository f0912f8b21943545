"""SQLite as the service uses it: one file, one connection that all threads share, writes that outlive a power cut.

`store.py`, `collection_store.py` and `learners.py` keep their tables by it; `overview.py` looks into them.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

from .refusals import Failed

LOCKED_SECONDS = 10  # how long to wait for another program that holds the database


class Database:
    """A database file, made if missing. Its methods may be called from several threads.

    Args:
        path: the file.

    Raises:
        sqlite3.Error: it can't be used.
    """

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self.connection = sqlite3.connect(path, check_same_thread=False, timeout=LOCKED_SECONDS)
        # EXTRA, not FULL: only EXTRA syncs the folder once the journal is gone, without which a power cut just
        # after a commit can bring the journal back and undo it.
        self.connection.execute("PRAGMA synchronous = EXTRA")

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """The connection, for this thread alone."""
        with self._lock:
            if self.connection.in_transaction:  # a rollback that failed with its cause, a broken disk say
                self.connection.rollback()
            yield self.connection

    @contextlib.contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """The connection; what the block writes is on disk when it ends, or, if it raises, undone."""
        with self.reading() as connection:
            try:
                yield connection
                connection.commit()
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    connection.rollback()
                raise

    def close(self) -> None:
        """Closes the file."""
        with self._lock:
            self.connection.close()


@contextlib.contextmanager
def looking(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection that only reads, beside a service that may be running on the file.

    Raises:
        sqlite3.Error: it is not there or can't be read.
    """
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=LOCKED_SECONDS)
    with contextlib.closing(connection):
        yield connection


def add_columns(connection: sqlite3.Connection, table: str, columns: dict[str, str]) -> None:
    """Brings a table that an earlier version made up to date. Each column is added by itself, so that a kill between
    two of them leaves the rest to the next start.

    Args:
        connection: to the database.
        table: its name.
        columns: names, and their types with defaults.
    """
    there = {column[1] for column in connection.execute(f"PRAGMA table_info({table})")}
    for name, kind in columns.items():
        if name not in there:
            connection.execute(f"ALTER TABLE {table} ADD COLUMN {name} {kind}")


@contextlib.contextmanager
def usable(what: str, data: Path) -> Iterator[None]:
    """Says in one sentence why a data folder can't be used.

    Args:
        what: what is kept there, for people.
        data: the folder.

    Raises:
        Failed: the block met a fault of the disk or of the database.
    """
    try:
        yield
    except (OSError, sqlite3.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise Failed(
            f"The {what} in {data} can't be read or written ({reason}): check the folder's permissions and free "
            "space, or choose another folder with --data-dir."
        ) from error
