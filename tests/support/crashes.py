"""Ends a process at every single operation of a story. Used by `crashing_store.py` and `crashing_collections.py`.

It forks, so it must be called in a process without threads.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from tests.support.faults import Faults, injected, watching

KILLED = 9
Story = Callable[[Path, Callable[[], None]], Coroutine[Any, Any, None]]


def play(folder: Path, story: Story, found: Callable[[Path], Any]) -> None:
    """Plays a story again and again, each time to the operation after the last time's, in a fork that ends there.

    Prints one line of JSON per end: at which operation, what it was, how many calls had been answered by then, and
    what a fresh start finds.

    Args:
        folder: where to keep the data of all ends.
        story: plays on a data folder, and says when a call was answered.
        found: what a fresh start finds in a data folder.
    """
    at, killed = 0, True
    while killed:
        at += 1
        data = folder / str(at)
        data.mkdir()
        killed, operations, answered = _killed_at(data, at, story)
        print(json.dumps({"at": at, "what": operations[-1], "answered": answered, "found": found(data)}))


def _killed_at(data: Path, at: int, story: Story) -> tuple[bool, list[str], int]:
    """Plays in a fork that ends at an operation: whether it came to it, the operations until then, calls answered."""
    answered, answer = os.pipe()
    trace, tell = os.pipe()

    def die(_: str) -> None:
        os.write(tell, json.dumps(faults.operations).encode())
        os._exit(KILLED)

    child = os.fork()
    if child == 0:
        faults = Faults(data, at, die)
        with watching(), injected(faults):
            asyncio.run(story(data, lambda: os.write(answer, b".")))
        os.write(tell, json.dumps(faults.operations).encode())
        os._exit(0)
    os.close(answer)
    os.close(tell)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) in (0, KILLED)
    with os.fdopen(answered, "rb") as count, os.fdopen(trace, "rb") as operations:
        return os.waitstatus_to_exitcode(status) == KILLED, json.loads(operations.read()), len(count.read())
