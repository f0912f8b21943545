"""`python -m tests.support.crashing_collections FOLDER`: ends a process at every single operation on collections.

`test_durability.py` compares what a fresh start finds, once all is ingested, with what had been answered.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path

from helpers.service.calls import Calls
from helpers.service.chunkers import NormalChunker
from helpers.service.collection_store import PENDING
from helpers.service.collections import RUNNING, Collections
from helpers.service.store import Store
from tests.support.crashes import play
from tests.support.fake_engine import FakeEngine

WORKSPACE = "w"
STORY = [
    ("create", "a", "Gouda is Dutch."),
    ("add", "a", "Brie is French."),
    ("create", "b", "Feta is Greek."),
    ("delete", "a"),
    ("add", "b", "Cheddar is English."),
]


def states() -> list[dict[str, list[str]]]:
    """What each collection says, before the story and after each of its calls."""
    state: dict[str, list[str]] = {}
    passed = [{}]
    for call, name, *text in STORY:
        state = {other: texts for other, texts in state.items() if call != "delete" or other != name}
        if text:
            state[name] = sorted([*state.get(name, []), *text])
        passed.append(dict(state))
    return passed


def found(data: Path) -> dict[str, list[str]]:
    """What a fresh start finds once it has taken up what was pending: the passages of each collection, by name."""
    return asyncio.run(_found(data))


async def _found(data: Path) -> dict[str, list[str]]:
    calls = Calls(FakeEngine(), Store(data))
    try:
        await calls.collections.resume()
        there = {one.name: one.id for one in calls.collections.list(WORKSPACE)}
        return {name: sorted(await _passages(calls, id_)) for name, id_ in there.items()}
    finally:
        calls.close()


async def _passages(calls: Calls, collection_id: str) -> list[str]:
    await _settled(calls.collections, collection_id)
    return [passage.content for passage in await calls.collections.nearest(WORKSPACE, collection_id, "?")]


async def _settled(collections: Collections, collection_id: str) -> None:
    while any(file.status in (PENDING, RUNNING) for file in (await collections.get(WORKSPACE, collection_id)).files):
        await asyncio.sleep(0.001)


async def _live(data: Path, answered: Callable[[], None]) -> None:
    """Plays the story; whether its calls are answered before or after their files are ingested makes no difference."""
    collections = Calls(FakeEngine(), Store(data)).collections
    ids: dict[str, str] = {}
    for call, name, *text in STORY:
        files = [(collections.upload(WORKSPACE, one.encode()), "f.txt") for one in text]
        if call == "create":
            ids[name] = await collections.create(WORKSPACE, name, "bge-large", NormalChunker(), files)
        elif call == "add":
            await collections.add(WORKSPACE, ids[name], files)
        else:
            await collections.delete(WORKSPACE, ids[name])
        answered()
        if call != "delete":
            await _settled(collections, ids[name])


if __name__ == "__main__":
    play(Path(sys.argv[1]), _live, found)
