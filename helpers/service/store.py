"""Adapters on disk: their metadata in SQLite, what a fine-tune wrote in folders beside it.

    <data>/adapters.sqlite3            which adapters there are, and which version of each holds
    <data>/adapters/<id>/v<version>/   an ordinary PEFT folder, the optimizer's state, the GGUF twin

A folder is written under a temporary name, made durable, renamed, and only then does one row in SQLite make it the
adapter's version. So a kill at any moment leaves either the version before or the version after, and never half of one;
what it left is removed at the next start. What no kill can have left, because the database was deleted or is an older
one, is set aside:

    <data>/adapters-set-aside/<when>/<id>/   folders that were in `adapters` and that no row knows

Called by `calls.py`, `server.py`, `commands.py` and `overview.py`; methods may be called from several threads.

A method that raises OSError or sqlite3.Error (disk full, folder read-only, database locked) has changed nothing, and
the next call works once the cause is gone.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import sqlite3
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from .. import renaming
from .catalog import is_adapter_id
from .database import Database, usable
from .refusals import TooManyAdapters, UnknownAdapter
from .weights_identity import WeightsIdentity

ADAPTERS_FILE = "adapters.sqlite3"
ADAPTERS = "adapters"
SET_ASIDE = "adapters-set-aside"

_VERSION = re.compile(r"v[0-9]+")
_SCHEMA = """
CREATE TABLE IF NOT EXISTS adapters (
    id TEXT PRIMARY KEY,
    workspace TEXT NOT NULL,
    name TEXT NOT NULL,
    base_model_id TEXT NOT NULL,
    rank INTEGER NOT NULL,
    learning_rate REAL NOT NULL,
    version INTEGER NOT NULL DEFAULT 0,
    updated TEXT NOT NULL,
    weights_name TEXT,
    weights_sha256 TEXT
);
CREATE TABLE IF NOT EXISTS deleted (
    id TEXT PRIMARY KEY -- of an adapter whose folder may still be there
)
"""
_ADDED = [("adapters", "weights_name", "TEXT"), ("adapters", "weights_sha256", "TEXT")]
_COLUMNS = "id, workspace, name, base_model_id, rank, learning_rate, version, updated, weights_name, weights_sha256"


@dataclass(frozen=True)
class Adapter:
    """An adapter's metadata; version 0 has not been fine-tuned.

    Attributes:
        weights: what it was tuned on; None before the first fine-tune, and where that is not known.
    """

    id: str
    workspace: str
    name: str
    base_model_id: str
    rank: int
    learning_rate: float
    version: int
    updated: datetime
    weights: WeightsIdentity | None = None


class Store:
    """The adapters of all workspaces.

    Args:
        data: folder to keep them in; made if missing.

    Attributes:
        data: the folder; others keep theirs beside the adapters.
        set_aside: how many adapters' folders this start has set aside, as no row knows them.

    Raises:
        Failed: the folder can't be used; the message says why and what to do.
    """

    def __init__(self, data: Path) -> None:
        self.data = data
        self._folder = data / ADAPTERS
        self.set_aside = 0
        with usable("adapters", data):
            self._folder.mkdir(parents=True, exist_ok=True)
            self._database = Database(data / ADAPTERS_FILE, _SCHEMA, _ADDED)
            _sync(data)
            self._tidy(data / SET_ASIDE / datetime.now(timezone.utc).strftime("%Y-%m-%dT%H-%M-%S-%f"))

    def add(self, adapter: Adapter, at_most: int | None = None) -> None:
        """Remembers a new adapter.

        Args:
            adapter: it.
            at_most: how many its workspace may then have.

        Raises:
            TooManyAdapters: the workspace has that many already.
        """
        row = (
            adapter.id,
            adapter.workspace,
            adapter.name,
            adapter.base_model_id,
            adapter.rank,
            adapter.learning_rate,
            adapter.version,
            adapter.updated.isoformat(),
            *_row_of(adapter.weights),
        )
        with self._database.writing() as database:
            if at_most is not None and _count(database, adapter.workspace) >= at_most:
                raise TooManyAdapters(at_most)
            database.execute(f"INSERT INTO adapters ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row)

    def get(self, workspace: str, adapter_id: str) -> Adapter:
        """One adapter of a workspace.

        Raises:
            UnknownAdapter: this workspace has no such adapter.
        """
        found = self._select("WHERE id = ? AND workspace = ?", (adapter_id, workspace))
        if not found:
            raise UnknownAdapter(adapter_id)
        return found[0]

    def list(self, workspace: str) -> Sequence[Adapter]:
        """A workspace's adapters, oldest first."""
        return self._select("WHERE workspace = ? ORDER BY rowid", (workspace,))

    def count(self) -> int:
        """How many adapters all workspaces have together."""
        with self._database.reading() as database:
            return database.execute("SELECT COUNT(*) FROM adapters").fetchone()[0]

    def size(self, workspace: str) -> int:
        """The bytes of a workspace's adapters."""
        return sum(_folder_bytes(self._folder / adapter.id) for adapter in self.list(workspace))

    def delete(self, workspace: str, adapter_id: str) -> None:
        """Forgets an adapter and removes its folder.

        Raises:
            UnknownAdapter: this workspace has no such adapter.
        """
        self.get(workspace, adapter_id)
        with self._database.writing() as database:
            database.execute("DELETE FROM adapters WHERE id = ?", (adapter_id,))
            database.execute("INSERT OR IGNORE INTO deleted VALUES (?)", (adapter_id,))
        shutil.rmtree(self._folder / adapter_id, ignore_errors=True)  # what stays is removed at the next start

    def folder(self, adapter: Adapter) -> Path | None:
        """What the adapter's last fine-tune wrote, or None before the first."""
        return self._version_folder(adapter.id, adapter.version) if adapter.version else None

    def new_folder(self, adapter: Adapter) -> Path:
        """An empty folder for the adapter's next version; `commit` or `discard` it."""
        folder = self._folder / adapter.id / f"new-{uuid.uuid4().hex}"
        folder.mkdir(parents=True)
        return folder

    def discard(self, folder: Path) -> None:
        """Removes a folder that `new_folder` gave."""
        shutil.rmtree(folder, ignore_errors=True)

    def commit(self, adapter: Adapter, written: Path, weights: WeightsIdentity | None = None) -> Adapter:
        """Makes a written folder the adapter's next version. When this returns, it survives a power cut.

        Args:
            adapter: the adapter as it was.
            written: a folder that `new_folder` gave, filled.
            weights: what it was tuned on, if that is known.

        Returns:
            The adapter as it is now.
        """
        for path in written.rglob("*"):
            _sync(path)
        _sync(written)
        target = self._version_folder(adapter.id, adapter.version + 1)
        shutil.rmtree(target, ignore_errors=True)  # a kill between rename and row can leave one
        renaming.replace(written, target)
        _sync(target.parent)
        _sync(self._folder)  # the adapter's own folder may be new
        kept = replace(adapter, version=adapter.version + 1, updated=datetime.now(timezone.utc), weights=weights)
        with self._database.writing() as database:
            database.execute(
                "UPDATE adapters SET version = ?, updated = ?, weights_name = ?, weights_sha256 = ? WHERE id = ?",
                (kept.version, kept.updated.isoformat(), *_row_of(weights), kept.id),
            )
        # Nothing from here on may fail: the version holds. What can't be removed now is removed at the next start.
        if adapter.version:
            shutil.rmtree(self._version_folder(adapter.id, adapter.version), ignore_errors=True)
        return kept

    def close(self) -> None:
        """Closes the database."""
        self._database.close()

    def _version_folder(self, adapter_id: str, version: int) -> Path:
        return self._folder / adapter_id / f"v{version}"

    def _select(self, where: str, values: tuple[str, ...]) -> Sequence[Adapter]:
        with self._database.reading() as database:
            rows = database.execute(f"SELECT {_COLUMNS} FROM adapters {where}", values).fetchall()
        return [_adapter_of(*row) for row in rows]

    def _tidy(self, aside: Path) -> None:
        """Removes what deletions and kills have left, and sets aside what they can't have left."""
        versions = {adapter.id: adapter.version for adapter in self._select("", ())}
        with self._database.reading() as database:
            deleted = {row[0] for row in database.execute("SELECT id FROM deleted")}
        # What has another name is not ours: file managers leave files of their own, and people copies.
        for folder in [folder for folder in self._folder.iterdir() if is_adapter_id(folder.name) and folder.is_dir()]:
            if folder.name in versions:
                self._tidy_versions(folder, versions[folder.name], aside)
            elif folder.name in deleted:
                shutil.rmtree(folder, ignore_errors=True)
            else:
                self._set_aside(folder, aside)
        if deleted:
            self._forget_deleted()

    def _tidy_versions(self, adapter_folder: Path, version: int, aside: Path) -> None:
        """A kill leaves half a version, or a whole one beside the one that its row names, at most one ahead of it."""
        has_its_own = not version or (adapter_folder / f"v{version}").is_dir()
        for folder in list(adapter_folder.iterdir()):
            number = int(folder.name[1:]) if _VERSION.fullmatch(folder.name) else None
            if number == version:
                continue
            if number is None or (has_its_own and number <= version + 1):
                shutil.rmtree(folder, ignore_errors=True)
            else:
                self._set_aside(folder, aside / adapter_folder.name)
        with contextlib.suppress(OSError):
            adapter_folder.rmdir()  # succeeds only when nothing is left in it

    def _set_aside(self, folder: Path, into: Path) -> None:
        """Moves a folder; one that can't be moved stays where it is, which harms no one."""
        with contextlib.suppress(OSError):
            into.mkdir(parents=True, exist_ok=True)
            folder.rename(into / folder.name)
            self.set_aside += 1

    def _forget_deleted(self) -> None:
        """Drops the notes of deletions whose folders are gone, if it can: a full disk is no reason not to start."""
        with contextlib.suppress(sqlite3.Error), self._database.writing() as database:
            for (adapter_id,) in database.execute("SELECT id FROM deleted").fetchall():
                if not (self._folder / adapter_id).exists():
                    database.execute("DELETE FROM deleted WHERE id = ?", (adapter_id,))


@dataclass(frozen=True)
class Usage:
    """How many adapters a workspace has, and their bytes on disk."""

    adapters: int = 0
    bytes: int = 0


def usage(database: sqlite3.Connection, data: Path) -> dict[str, Usage]:
    """What each workspace has, in the database of `Store`.

    Args:
        database: the connection.
        data: the store's folder.
    """
    found: dict[str, Usage] = {}
    for workspace, adapter_id in database.execute("SELECT workspace, id FROM adapters"):
        before = found.get(workspace, Usage())
        found[workspace] = Usage(before.adapters + 1, before.bytes + _folder_bytes(data / ADAPTERS / adapter_id))
    return found


def _folder_bytes(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):  # a fine-tune replaces files meanwhile
            total += path.stat().st_size if path.is_file() else 0
    return total


def _count(database: sqlite3.Connection, workspace: str) -> int:
    return database.execute("SELECT COUNT(*) FROM adapters WHERE workspace = ?", (workspace,)).fetchone()[0]


def _row_of(weights: WeightsIdentity | None) -> tuple[str | None, str | None]:
    return (None, None) if weights is None else (weights.name, weights.sha256)


def _adapter_of(*row: Any) -> Adapter:
    *fields, updated, weights_name, sha256 = row
    fields += [datetime.fromisoformat(updated), WeightsIdentity(weights_name, sha256) if sha256 else None]
    return Adapter(*fields)


def _sync(path: Path) -> None:
    """Forces a file or folder to disk. Windows can't open folders; there the rename itself is journalled."""
    if path.is_dir() and os.name == "nt":
        return
    handle = os.open(path, os.O_RDONLY if path.is_dir() or os.name != "nt" else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
