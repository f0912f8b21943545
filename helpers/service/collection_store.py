"""Uploaded files and retrieval collections on disk, in a database of their own beside that of the adapters.

    <data>/collections.sqlite3

A second file, because it grows to hundreds of megabytes where the other has some kilobytes, so that what is long here
(a vacuum, a copy, a fault of one page) leaves the adapters alone. Every change is one transaction: a kill at any moment
leaves the state before or the state after. A file of a collection is `pending` until its passages are there or it has
failed, and that it is being read just now is not written down, so that a kill leaves it pending.

Called by `collections.py`, `ingestion.py` and `calls.py`, and for `reset` and `status` by `commands.py` and
`overview.py`; methods may be called from several threads. One that raises OSError or sqlite3.Error has changed nothing,
and the next call works once the cause is gone.
"""

from __future__ import annotations

import json
import sqlite3
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Literal

from . import chunkers
from .chunkers import Chunker
from .database import Database, usable
from .refusals import TooManyPassages, TooMuchKept, UnknownCollection, UnknownFile

COLLECTIONS_FILE = "collections.sqlite3"
MAX_COLLECTIONS = 100  # of one workspace
MAX_FILES = 1000  # of one workspace, uploaded and not deleted with their collections
MAX_FILE_BYTES_TOGETHER = 256_000_000  # of one workspace
MAX_POINTS = 20_000  # of one collection: 30 MB of vectors, searched in some 50 ms
UNUSED_HOURS = 24  # an uploaded file that no collection has taken by then is removed

FileStatus = Literal["pending", "running", "failed", "succeeded"]
"""How far a file is; which ones are running no database says."""
PENDING: FileStatus = "pending"
FAILED: FileStatus = "failed"
SUCCEEDED: FileStatus = "succeeded"

_SCHEMA = """
CREATE TABLE IF NOT EXISTS files (
    id TEXT PRIMARY KEY, workspace TEXT NOT NULL, uploaded TEXT NOT NULL, content BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS collections (
    id TEXT PRIMARY KEY, workspace TEXT NOT NULL, name TEXT NOT NULL, slug TEXT NOT NULL, chunker TEXT NOT NULL,
    created TEXT NOT NULL, updated TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS members (
    number INTEGER PRIMARY KEY, collection TEXT NOT NULL, file TEXT NOT NULL, name TEXT NOT NULL,
    status TEXT NOT NULL, reason TEXT, UNIQUE (collection, file)
);
CREATE TABLE IF NOT EXISTS passages (
    number INTEGER PRIMARY KEY, collection TEXT NOT NULL, file TEXT NOT NULL, content TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS points (
    number INTEGER PRIMARY KEY, collection TEXT NOT NULL, passage INTEGER NOT NULL, start INTEGER NOT NULL,
    vector BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS passages_of ON passages (collection);
CREATE INDEX IF NOT EXISTS points_of ON points (collection);
"""
_COLUMNS = "id, workspace, name, slug, chunker, created, updated"
_ADDED = [("members", "bytes", "INTEGER NOT NULL DEFAULT 0")]  # of a member's passages and vectors


@dataclass(frozen=True)
class CollectionFile:
    """A file of a collection: what it is called there, its status, and why it failed if it did."""

    id: str
    name: str
    status: FileStatus
    reason: str | None = None


@dataclass(frozen=True)
class Collection:
    """A collection's metadata, with its files in the order in which they were added."""

    id: str
    workspace: str
    name: str
    slug: str
    chunker: Chunker
    created: datetime
    updated: datetime
    files: tuple[CollectionFile, ...] = ()


@dataclass(frozen=True)
class PendingFile:
    """A file to be cut into passages."""

    collection: str
    chunker: Chunker
    file: str
    name: str
    content: bytes


@dataclass(frozen=True)
class Point:
    """A stretch of a passage that questions are compared with.

    Attributes:
        start: where in the passage it begins, in characters.
        vector: its packed vector.
    """

    start: int
    vector: bytes


class CollectionStore:
    """The files and collections of all workspaces.

    Args:
        data: folder to keep them in; it exists.

    Raises:
        Failed: the folder can't be used; the message says why and what to do.
    """

    def __init__(self, data: Path) -> None:
        with usable("collections", data):
            self._database = Database(data / COLLECTIONS_FILE, _SCHEMA, _ADDED)

    def add_file(self, workspace: str, content: bytes) -> str:
        """Keeps an uploaded file and gives its id.

        Raises:
            TooMuchKept: the workspace has as many files, or bytes of them, as it may have.
        """
        file_id = str(uuid.uuid4())
        with self._database.writing() as database:
            _remove_unused(database, datetime.now(timezone.utc) - timedelta(hours=UNUSED_HOURS))
            count, size = database.execute(
                "SELECT COUNT(*), TOTAL(LENGTH(content)) FROM files WHERE workspace = ?", (workspace,)
            ).fetchone()
            if count >= MAX_FILES:
                raise TooMuchKept(f"{MAX_FILES} uploaded files")
            if size + len(content) > MAX_FILE_BYTES_TOGETHER:
                raise TooMuchKept(f"{MAX_FILE_BYTES_TOGETHER // 1_000_000} MB of uploaded files")
            values = (file_id, workspace, _now(), content)
            database.execute("INSERT INTO files (id, workspace, uploaded, content) VALUES (?, ?, ?, ?)", values)
        return file_id

    def create(self, workspace: str, name: str, slug: str, chunker: Chunker, files: Sequence[tuple[str, str]]) -> str:
        """Keeps a new collection and gives its id.

        Args:
            workspace: whose it is.
            name, slug, chunker: as it was asked for.
            files: id of an uploaded file, and its name in the collection.

        Raises:
            TooMuchKept: the workspace has as many as it may have.
            UnknownFile: the workspace has no such file.
        """
        collection_id, now = f"{uuid.uuid4()}_rag_config", _now()
        values = (collection_id, workspace, name, slug, json.dumps(chunkers.as_dict(chunker)), now, now)
        with self._database.writing() as database:
            count = database.execute("SELECT COUNT(*) FROM collections WHERE workspace = ?", (workspace,)).fetchone()
            if count[0] >= MAX_COLLECTIONS:
                raise TooMuchKept(f"{MAX_COLLECTIONS} collections")
            database.execute(f"INSERT INTO collections ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)", values)
            _add_members(database, workspace, collection_id, files)
        return collection_id

    def add(self, workspace: str, collection_id: str, files: Sequence[tuple[str, str]]) -> None:
        """Adds uploaded files to a collection. One that is in it already stays; one that had failed is tried again.

        Args:
            workspace, collection_id: whose collection it is, and its id.
            files: id of an uploaded file, and its name in the collection.

        Raises:
            UnknownCollection, UnknownFile: the workspace has none of this id.
        """
        with self._database.writing() as database:
            _check(database, workspace, collection_id)
            _add_members(database, workspace, collection_id, files)
            database.execute("UPDATE collections SET updated = ? WHERE id = ?", (_now(), collection_id))

    def list(self, workspace: str) -> list[Collection]:
        """A workspace's collections, oldest first, without their files."""
        with self._database.reading() as database:
            rows = database.execute(
                f"SELECT {_COLUMNS} FROM collections WHERE workspace = ? ORDER BY rowid", (workspace,)
            ).fetchall()
        return [_collection_of(*row) for row in rows]

    def get(self, workspace: str, collection_id: str) -> Collection:
        """One collection of a workspace, with its files.

        Raises:
            UnknownCollection: this workspace has no such collection.
        """
        with self._database.reading() as database:
            row = database.execute(
                f"SELECT {_COLUMNS} FROM collections WHERE id = ? AND workspace = ?", (collection_id, workspace)
            ).fetchone()
            members = database.execute(
                "SELECT file, name, status, reason FROM members WHERE collection = ? ORDER BY number", (collection_id,)
            ).fetchall()
        if row is None:
            raise UnknownCollection(collection_id)
        return replace(_collection_of(*row), files=tuple(CollectionFile(*member) for member in members))

    def delete(self, workspace: str, collection_id: str) -> None:
        """Forgets a collection, its passages, and those of its files that no other collection has.

        Raises:
            UnknownCollection: this workspace has no such collection.
        """
        with self._database.writing() as database:
            _check(database, workspace, collection_id)
            for table in ("points", "passages"):
                database.execute(f"DELETE FROM {table} WHERE collection = ?", (collection_id,))
            database.execute(
                "DELETE FROM files WHERE id IN (SELECT file FROM members WHERE collection = ?1)"
                " AND id NOT IN (SELECT file FROM members WHERE collection != ?1)",
                (collection_id,),
            )
            database.execute("DELETE FROM members WHERE collection = ?", (collection_id,))
            database.execute("DELETE FROM collections WHERE id = ?", (collection_id,))

    def reset(self, workspace: str) -> None:
        """Forgets all collections and files of a workspace."""
        theirs = "(SELECT id FROM collections WHERE workspace = ?)"
        with self._database.writing() as database:
            for table in ("points", "passages", "members"):
                database.execute(f"DELETE FROM {table} WHERE collection IN {theirs}", (workspace,))
            for table in ("files", "collections"):
                database.execute(f"DELETE FROM {table} WHERE workspace = ?", (workspace,))

    def size(self, workspace: str) -> int:
        """The bytes of a workspace's files, passages and vectors."""
        with self._database.reading() as database:
            return usage(database, "WHERE workspace = ?", (workspace,)).get(workspace, Usage()).bytes

    def workspaces_with_pending(self) -> Sequence[str]:
        """The workspaces that have files still to be cut into passages."""
        with self._database.reading() as database:
            rows = database.execute(
                "SELECT DISTINCT workspace FROM collections JOIN members ON collection = id WHERE status = ?",
                (PENDING,),
            ).fetchall()
        return [workspace for (workspace,) in rows]

    def next_pending(self, workspace: str) -> PendingFile | None:
        """The file of a workspace that has waited longest to be cut into passages."""
        with self._database.reading() as database:
            row = database.execute(
                "SELECT collections.id, chunker, file, members.name, content FROM members"
                " JOIN collections ON collection = collections.id JOIN files ON file = files.id"
                " WHERE collections.workspace = ? AND status = ? ORDER BY number LIMIT 1",
                (workspace, PENDING),
            ).fetchone()
        return row and PendingFile(row[0], _chunker_of(row[1]), *row[2:])

    def succeed(self, pending: PendingFile, passages: Sequence[tuple[str, Sequence[Point]]]) -> None:
        """Keeps what a file's passages say, each with its points, unless the collection was deleted meanwhile.

        Raises:
            TooManyPassages: the collection would have more points than one may have.
        """
        with self._database.writing() as database:
            row = database.execute("SELECT COUNT(*) FROM points WHERE collection = ?", (pending.collection,)).fetchone()
            if row[0] + sum(len(points) for _, points in passages) > MAX_POINTS:
                raise TooManyPassages(MAX_POINTS)
            if not _end(database, pending, SUCCEEDED, None):
                return
            database.execute(
                "UPDATE members SET bytes = ? WHERE collection = ? AND file = ?",
                (_bytes_of(passages), pending.collection, pending.file),
            )
            for content, points in passages:
                passage = database.execute(
                    "INSERT INTO passages (collection, file, content) VALUES (?, ?, ?)",
                    (pending.collection, pending.file, content),
                ).lastrowid
                database.executemany(
                    "INSERT INTO points (collection, passage, start, vector) VALUES (?, ?, ?, ?)",
                    [(pending.collection, passage, point.start, point.vector) for point in points],
                )

    def fail(self, pending: PendingFile, reason: str) -> None:
        """Notes why a file has no passages.

        Args:
            pending: the file.
            reason: a sentence for people.
        """
        with self._database.writing() as database:
            _end(database, pending, FAILED, reason)

    def vectors(self, collection_id: str) -> tuple[Sequence[int], Sequence[bytes]]:
        """The numbers of a collection's points and their packed vectors."""
        with self._database.reading() as database:
            rows = database.execute(
                "SELECT number, vector FROM points WHERE collection = ? ORDER BY number", (collection_id,)
            ).fetchall()
        return [number for number, _ in rows], [vector for _, vector in rows]

    def passage_at(self, point: int) -> tuple[str, str, int] | None:
        """What the passage with a point says, the name of its file, and where the point begins in it; None if it was
        deleted meanwhile."""
        with self._database.reading() as database:
            return database.execute(
                "SELECT content, name, start FROM points JOIN passages ON passage = passages.number"
                " JOIN members ON passages.collection = members.collection AND passages.file = members.file"
                " WHERE points.number = ?",
                (point,),
            ).fetchone()

    def close(self) -> None:
        """Closes the database."""
        self._database.close()


@dataclass(frozen=True)
class Usage:
    """How many collections and files a workspace has, and their bytes, with passages and vectors."""

    collections: int = 0
    files: int = 0
    bytes: int = 0


def usage(database: sqlite3.Connection, where: str = "", values: tuple[str, ...] = ()) -> dict[str, Usage]:
    """What each workspace has, in the database of `CollectionStore`.

    Args:
        database: the connection.
        where, values: which files and collections, in SQL; all if not given.
    """
    files = database.execute(
        f"SELECT workspace, COUNT(*), SUM(LENGTH(content)) FROM files {where} GROUP BY workspace", values
    ).fetchall()
    collections = database.execute(
        "SELECT workspace, COUNT(DISTINCT collections.id), IFNULL(SUM(members.bytes), 0) FROM collections"
        f" LEFT JOIN members ON collection = collections.id {where} GROUP BY workspace",
        values,
    ).fetchall()
    found = {workspace: Usage(files=count, bytes=size) for workspace, count, size in files}
    for workspace, count, size in collections:
        before = found.get(workspace, Usage())
        found[workspace] = Usage(count, before.files, before.bytes + size)
    return found


def _bytes_of(passages: Sequence[tuple[str, Sequence[Point]]]) -> int:
    return sum(
        len(content.encode("utf-8", "surrogatepass")) + sum(len(point.vector) for point in points)
        for content, points in passages
    )


def _check(database: sqlite3.Connection, workspace: str, collection_id: str) -> None:
    where = (collection_id, workspace)
    if not database.execute("SELECT 1 FROM collections WHERE id = ? AND workspace = ?", where).fetchone():
        raise UnknownCollection(collection_id)


def _add_members(
    database: sqlite3.Connection, workspace: str, collection_id: str, files: Sequence[tuple[str, str]]
) -> None:
    for file_id, name in files:
        if not database.execute("SELECT 1 FROM files WHERE id = ? AND workspace = ?", (file_id, workspace)).fetchone():
            raise UnknownFile(file_id)
        database.execute(
            "INSERT INTO members (collection, file, name, status) VALUES (?, ?, ?, ?)"
            " ON CONFLICT (collection, file) DO UPDATE SET status = excluded.status, reason = NULL WHERE status = ?",
            (collection_id, file_id, name, PENDING, FAILED),
        )


def _end(database: sqlite3.Connection, pending: PendingFile, status: FileStatus, reason: str | None) -> bool:
    """Ends a file's waiting; False if its collection was deleted meanwhile."""
    changed = database.execute(
        "UPDATE members SET status = ?, reason = ? WHERE collection = ? AND file = ? AND status = ?",
        (status, reason, pending.collection, pending.file, PENDING),
    ).rowcount
    database.execute("UPDATE collections SET updated = ? WHERE id = ?", (_now(), pending.collection))
    return changed > 0


def _remove_unused(database: sqlite3.Connection, before: datetime) -> None:
    database.execute(
        "DELETE FROM files WHERE uploaded < ? AND id NOT IN (SELECT file FROM members)", (before.isoformat(),)
    )


def _now() -> str:
    return datetime.now(timezone.utc).isoformat()


def _chunker_of(text: str) -> Chunker:
    numbers = json.loads(text)
    return chunkers.made(numbers.pop("kind"), numbers)


def _collection_of(
    collection_id: str, workspace: str, name: str, slug: str, chunker: str, created: str, updated: str
) -> Collection:
    when = (datetime.fromisoformat(created), datetime.fromisoformat(updated))
    return Collection(collection_id, workspace, name, slug, _chunker_of(chunker), *when)
