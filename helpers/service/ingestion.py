"""Cuts the files of collections into passages and makes their vectors, behind the answers to those who added them.

A workspace has one task, which takes its files one after another; each step of it, a file read or a handful of texts
embedded, waits for its turn in the scheduler as any call does, so that no one's question waits for a whole book. What
a kill interrupts is pending in the store, and `resume` takes it up at the next start. Made by `collections.py`; its
methods are called on the event loop.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Sequence

from . import chunkers, documents, logs, vectors
from .collection_store import CollectionStore, PendingFile, Point
from .engine import Engine
from .refusals import Busy, Refusal
from .scheduler import Kind, Scheduler

BATCH = 16  # texts embedded in one turn: about a third of a second
WORDS_AT_ONCE = 150  # about as much as the embedder reads; a longer text is searched for in stretches of so many


class Ingestion:
    """Works off what is pending.

    Args:
        engine: embeds.
        scheduler: gives the turns.
        store: has the files, and keeps the passages.
    """

    def __init__(self, engine: Engine, scheduler: Scheduler, store: CollectionStore) -> None:
        self._engine = engine
        self._scheduler = scheduler
        self._store = store
        self._tasks: dict[str, asyncio.Task[None]] = {}  # by workspace
        self._running: set[tuple[str, str]] = set()

    def resume(self) -> None:
        """Takes up what was left pending."""
        for workspace in self._store.workspaces_with_pending():
            self.wake(workspace)

    def wake(self, workspace: str) -> None:
        """Starts on a workspace's pending files, if that has not begun."""
        if not self.is_busy(workspace):
            self._tasks[workspace] = asyncio.ensure_future(self._drain_queue(workspace))

    def is_busy(self, workspace: str) -> bool:
        """Whether a workspace's files are being worked off."""
        return workspace in self._tasks and not self._tasks[workspace].done()

    def is_running(self, collection_id: str, file_id: str) -> bool:
        """Whether a file is being worked on just now."""
        return (collection_id, file_id) in self._running

    async def _drain_queue(self, workspace: str) -> None:
        try:
            # No await between finding nothing and the end, so that who adds a file then wakes a new task.
            while (pending := self._store.next_pending(workspace)) is not None:
                self._running.add((pending.collection, pending.file))
                try:
                    await self._ingest(workspace, pending)
                finally:
                    self._running.discard((pending.collection, pending.file))
        except (OSError, sqlite3.Error) as error:  # the disk's: the file stays pending, and the next call tries again
            logs.event("ingestion-stopped", logging.ERROR, error, workspace=workspace)

    async def _ingest(self, workspace: str, pending: PendingFile) -> None:
        try:
            passages = await self._passages(workspace, pending)
            await asyncio.to_thread(self._store.succeed, pending, passages)
            logs.event("ingested", workspace=workspace, collection=pending.collection, passages=len(passages))
            return
        except Refusal as refusal:
            reason = refusal.message
        except (OSError, sqlite3.Error):
            raise
        except Exception as error:  # noqa: BLE001 - one file must not keep the others from their turn
            logs.event("crash", logging.ERROR, error, workspace=workspace, collection=pending.collection)
            reason = "The service failed on this file; its log says where."
        await asyncio.to_thread(self._store.fail, pending, reason)
        logs.event("not-ingested", logging.WARNING, workspace=workspace, collection=pending.collection)

    async def _passages(self, workspace: str, pending: PendingFile) -> list[tuple[str, list[Point]]]:
        text = await self._scheduler.run(
            workspace, lambda given_up: documents.text_of(pending.name, pending.content, given_up), Kind.READ
        )
        groups = await asyncio.to_thread(chunkers.texts_to_compare, text, pending.chunker)
        compared = await self._embed(workspace, groups)
        chunks = await asyncio.to_thread(chunkers.split, text, pending.chunker, compared)
        stretches = await asyncio.to_thread(lambda: [chunkers.pieces(one.searched, WORDS_AT_ONCE) for one in chunks])
        found = iter(await self._embed(workspace, [stretch for those in stretches for stretch in those]))
        return [
            (chunk.content, [Point(chunk.content.index(one), vectors.packed(next(found))) for one in those])
            for chunk, those in zip(chunks, stretches, strict=True)
        ]

    async def _embed(self, workspace: str, texts: Sequence[str]) -> list[list[float]]:
        """Vectors of texts, a batch a turn."""
        found: list[list[float]] = []
        for at in range(0, len(texts), BATCH):
            found += await self._embed_batch(workspace, texts[at : at + BATCH])
        return found

    async def _embed_batch(self, workspace: str, texts: Sequence[str]) -> list[list[float]]:
        while True:
            try:
                return await self._scheduler.run(
                    workspace, lambda given_up: self._engine.embed(texts, given_up), Kind.EMBED
                )
            except Busy as busy:  # this one can wait
                await asyncio.sleep(busy.retry_after_seconds)
