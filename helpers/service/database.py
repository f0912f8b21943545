"""SQLite as the service uses it: one file, one connection that all threads share, writes that outlive a power cut.

`store.py`, `collection_store.py` and `learners.py` keep their tables by it; `overview.py` looks into them.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from .refusals import Failed

LOCKED_SECONDS = 10  # how long to wait for another program that holds the database


class Database:
    """A database file, made if missing. Its methods may be called from several threads.

    Args:
        path: the file.
        schema: statements that make its tables and indexes if they are not there, with a semicolon between them.
        added: what the tables of earlier versions lack: table, column, and the column's type with its default.

    Raises:
        sqlite3.Error: it can't be used.
    """

    def __init__(self, path: Path, schema: str, added: Sequence[tuple[str, str, str]] = ()) -> None:
        self._lock = threading.Lock()
        self.connection = sqlite3.connect(path, check_same_thread=False, timeout=LOCKED_SECONDS)
        # EXTRA, not FULL: only EXTRA syncs the folder once the journal is gone, without which a power cut just
        # after a commit can bring the journal back and undo it.
        self.connection.execute("PRAGMA synchronous = EXTRA")
        with self.writing() as connection:  # each statement by itself: a kill leaves the rest of them to the next start
            for statement in filter(str.strip, schema.split(";")):
                connection.execute(statement)
            for table, column, kind in added:
                if column not in {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}:
                    connection.execute(f"ALTER TABLE {table} ADD COLUMN {column} {kind}")

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
