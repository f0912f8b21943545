"""`python -m tests.support.crashing_store FOLDER`: ends a process at every single operation of a story.

`test_durability.py` compares what a fresh start finds with what had been answered.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path

from helpers.service.calls import Calls
from helpers.service.catalog import CLASSIC_MODELS
from helpers.service.engine import CompletionRequest, SamplePart, TuningSample
from helpers.service.store import Store
from tests.support.crashes import play
from tests.support.fake_engine import FakeEngine

WORKSPACE = "w"
STORY = [
    ("create", "a"),
    ("tune", "a", "one"),
    ("tune", "a", "two"),
    ("create", "b"),
    ("tune", "b", "three"),
    ("delete", "a"),
    ("tune", "b", "four"),
]


def states() -> list[dict[str, str | None]]:
    """What each adapter has learned last, before the story and after each of its calls."""
    state: dict[str, str | None] = {}
    passed = [dict(state)]
    for call, name, *text in STORY:
        if call == "delete":
            del state[name]
        else:
            state[name] = text[0] if text else None
        passed.append(dict(state))
    return passed


def found(data: Path) -> dict[str, str | None]:
    """What a fresh start finds: each adapter's answer, by name."""
    calls = Calls(FakeEngine(), Store(data))
    try:
        return {adapter.name: _answer(calls, adapter.id) for adapter in calls.adapters(WORKSPACE)}
    finally:
        calls.close()


def _answer(calls: Calls, adapter_id: str) -> str | None:
    answer = asyncio.run(calls.complete(WORKSPACE, adapter_id, CompletionRequest("?"))).text
    return None if answer == "echo: ?" else answer


async def _live(data: Path, answered: Callable[[], None]) -> None:
    """Plays the story."""
    calls = Calls(FakeEngine(), Store(data))
    ids = {}
    for call, name, *text in STORY:
        if call == "create":
            ids[name] = calls.create(WORKSPACE, name, CLASSIC_MODELS[0][0], None, None).id
        elif call == "tune":
            await calls.fine_tune(WORKSPACE, ids[name], [TuningSample((SamplePart(text[0]),))])
        else:
            await calls.delete(WORKSPACE, ids[name])
        answered()


if __name__ == "__main__":
    play(Path(sys.argv[1]), _live, found)
