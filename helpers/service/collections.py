"""Uploaded files and retrieval collections: what the API does with them, without HTTP.

`http/files.py` and `http/collections.py` call this with validated values, `http/blocks.py` and `calls.py` for the
passages nearest to a question. `collection_store.py` keeps everything, `ingestion.py` works off what was added.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from . import vectors
from .chunkers import Chunker
from .collection_store import PENDING, Collection, CollectionStore, FileStatus
from .documents import plain_name
from .engine import Engine
from .ingestion import Ingestion
from .refusals import NoDocuments
from .scheduler import Kind, Scheduler

RUNNING: FileStatus = "running"
WAIT_SECONDS = 120  # how long a question waits for files that were just added
LOOK_SECONDS = 0.05


@dataclass(frozen=True)
class Passage:
    """What a search found.

    Attributes:
        content: what it says.
        file_name: in which file.
        score: its likeness to the question, -1 to 1.
        start: where in the content that begins which is so alike, in characters; not 0 in long passages alone.
    """

    content: str
    file_name: str
    score: float
    start: int = 0


class Collections:
    """The collections of all workspaces. Async methods are called on the event loop, the others on any thread.

    Args:
        engine: embeds.
        scheduler: gives the turns.
        store: keeps files and collections.
        require_room: told whose bytes are to come, and how many if that is known; refuses what is too much.
    """

    def __init__(
        self, engine: Engine, scheduler: Scheduler, store: CollectionStore, require_room: Callable[..., None]
    ) -> None:
        self._engine = engine
        self._scheduler = scheduler
        self._store = store
        self._require_room = require_room
        self._ingestion = Ingestion(engine, scheduler, store)

    async def resume(self) -> None:
        """Takes up the files that an earlier run of the service has left pending."""
        self._ingestion.resume()

    def upload(self, workspace: str, content: bytes) -> str:
        """Keeps a file and gives its id. A collection that takes it names it, and then it is read.

        Args:
            workspace: whose it is.
            content: the bytes of the file.

        Raises:
            TooMuchKept, NoRoom: the workspace has as many files, or bytes, as it may have.
        """
        self._require_room(workspace, len(content))
        return self._store.add_file(workspace, content)

    async def create(
        self, workspace: str, name: str, slug: str, chunker: Chunker, files: Sequence[tuple[str, str]] = ()
    ) -> str:
        """Creates a collection and gives its id; its files are worked on when this has returned.

        Args:
            workspace: whose it is.
            name, slug: as it was asked for.
            chunker: cuts its files into passages.
            files: id of an uploaded file, and its name in the collection.

        Raises:
            TooMuchKept, NoRoom: the workspace has as many collections, or bytes, as it may have.
            UnknownFile: the workspace has no such file.
        """
        named = [(file_id, plain_name(file_name)) for file_id, file_name in files]
        await asyncio.to_thread(self._require_room, workspace)
        collection_id = await asyncio.to_thread(self._store.create, workspace, name, slug, chunker, named)
        self._ingestion.wake(workspace)
        return collection_id

    async def add(self, workspace: str, collection_id: str, files: Sequence[tuple[str, str]]) -> None:
        """Adds uploaded files to a collection; they are worked on when this has returned.

        Args:
            workspace, collection_id: whose collection it is, and its id.
            files: id of an uploaded file, and its name in the collection.

        Raises:
            UnknownCollection, UnknownFile: the workspace has none of this id.
            NoRoom: the workspace has as many bytes as it may have.
        """
        named = [(file_id, plain_name(file_name)) for file_id, file_name in files]
        await asyncio.to_thread(self._require_room, workspace)
        await asyncio.to_thread(self._store.add, workspace, collection_id, named)
        self._ingestion.wake(workspace)

    def list(self, workspace: str) -> list[Collection]:
        """A workspace's collections, oldest first, without their files."""
        return self._store.list(workspace)

    async def get(self, workspace: str, collection_id: str) -> Collection:
        """One collection, with its files as they are now.

        Raises:
            UnknownCollection: the workspace has none of this id.
        """
        collection = await self._look(workspace, collection_id)
        self._ingestion.wake(workspace)  # also what a full disk has stopped
        return collection

    async def delete(self, workspace: str, collection_id: str) -> None:
        """Deletes a collection, and those of its files that no other collection has.

        Raises:
            UnknownCollection: the workspace has none of this id.
        """
        await asyncio.to_thread(self._store.delete, workspace, collection_id)

    async def reset(self, workspace: str) -> None:
        """Deletes all collections and files of a workspace."""
        await asyncio.to_thread(self._store.reset, workspace)

    async def nearest(self, workspace: str, collection_id: str, question: str, count: int = 4) -> Sequence[Passage]:
        """The passages that are most like a question, the likest first. Files that were just added are waited for.

        Args:
            workspace: whose collection it is.
            collection_id: the collection's.
            question: what to compare passages with.
            count: how many passages, at most.

        Raises:
            UnknownCollection: the workspace has none of this id.
            NoDocuments: it has no passages; the message says why.
            Refusal: whatever the engine refuses.
        """
        collection = await self._settled(workspace, collection_id)
        found = await self._scheduler.run(
            workspace, lambda given_up: self._engine.embed([question], given_up)[0], Kind.EMBED
        )
        passages = await asyncio.to_thread(self._search, collection_id, found, count)
        if not passages:
            raise NoDocuments(_why_empty(collection))
        return passages

    def close(self) -> None:
        """Closes the store."""
        self._store.close()

    async def _settled(self, workspace: str, collection_id: str) -> Collection:
        """A collection once nothing more is done to its files, or as it is after WAIT_SECONDS."""
        deadline = time.monotonic() + WAIT_SECONDS
        collection = await self.get(workspace, collection_id)
        while any(file.status in (PENDING, RUNNING) for file in collection.files):
            if time.monotonic() > deadline or not self._ingestion.is_busy(workspace):
                break
            await asyncio.sleep(LOOK_SECONDS)
            collection = await self._look(workspace, collection_id)
        return collection

    async def _look(self, workspace: str, collection_id: str) -> Collection:
        collection = await asyncio.to_thread(self._store.get, workspace, collection_id)
        files = [
            replace(file, status=RUNNING)
            if file.status == PENDING and self._ingestion.is_running(collection_id, file.id)
            else file
            for file in collection.files
        ]
        return replace(collection, files=tuple(files))

    def _search(self, collection_id: str, question: Sequence[float], count: int) -> Sequence[Passage]:
        numbers, kept = self._store.vectors(collection_id)
        found: dict[str, Passage] = {}  # by what they say: a file that was added twice answers once
        for at, score in vectors.ranked(question, kept):
            passage = self._store.passage_at(numbers[at])
            if passage is not None:
                content, file_name, start = passage
                found.setdefault(content, Passage(content, file_name, score, start))
            if len(found) == count:
                break
        return list(found.values())


def _why_empty(collection: Collection) -> str:
    if not collection.files:
        return "This collection has no files: add some with add_files, then ask again."
    failed = next((file.reason for file in collection.files if file.reason), None)
    if failed is not None:
        return f"No file of this collection could be read, so there is nothing to answer from. {failed}"
    return "The files of this collection are not read yet: ask again in a moment."
