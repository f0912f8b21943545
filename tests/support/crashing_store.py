"""`python -m tests.support.crashing_store FOLDER`: ends a process at every single operation of a story.

Prints one line of JSON per end: at which operation, what it was, how many calls had been answered by then, and what a
fresh process finds in the folder. `test_durability.py` compares. It forks, so it must be a process without threads.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

from helpers.service.calls import Calls
from helpers.service.catalog import CLASSIC_MODELS
from helpers.service.engine import CompletionRequest, SamplePart, TuningSample
from helpers.service.store import Store
from tests.support.fake_engine import FakeEngine
from tests.support.faults import Faults, injected, watching

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
KILLED = 9


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


async def _live(data: Path, answered: int) -> None:
    """Plays the story, and writes one byte into a pipe for every call that was answered."""
    calls = Calls(FakeEngine(), Store(data))
    ids = {}
    for call, name, *text in STORY:
        if call == "create":
            ids[name] = calls.create(WORKSPACE, name, CLASSIC_MODELS[0][0], None, None).id
        elif call == "tune":
            await calls.fine_tune(WORKSPACE, ids[name], [TuningSample((SamplePart(text[0]),))])
        else:
            await calls.delete(WORKSPACE, ids[name])
        os.write(answered, b".")


def _killed_at(data: Path, at: int) -> tuple[bool, list[str], int]:
    """Lives in a fork that ends at an operation: whether it came to it, the operations until then, calls answered."""
    answered, answer = os.pipe()
    trace, tell = os.pipe()

    def die(_: str) -> None:
        os.write(tell, json.dumps(faults.operations).encode())
        os._exit(KILLED)

    child = os.fork()
    if child == 0:
        faults = Faults(data, at, die)
        with watching(), injected(faults):
            asyncio.run(_live(data, answer))
        os.write(tell, json.dumps(faults.operations).encode())
        os._exit(0)
    os.close(answer)
    os.close(tell)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) in (0, KILLED)
    with os.fdopen(answered, "rb") as count, os.fdopen(trace, "rb") as operations:
        return os.waitstatus_to_exitcode(status) == KILLED, json.loads(operations.read()), len(count.read())


def main(folder: Path) -> None:
    """Runs the story again and again, each time to the operation after."""
    at, killed = 0, True
    while killed:
        at += 1
        data = folder / str(at)
        data.mkdir()
        killed, operations, answered = _killed_at(data, at)
        print(json.dumps({"at": at, "what": operations[-1], "answered": answered, "found": found(data)}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
