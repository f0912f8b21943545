"""All benchmarks by name, each run in a process of its own with a time limit. Called by `__main__.py`.

They are not in `__main__.py` itself because a spawned process can't import a package's `__main__`.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import traceback
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from time import monotonic

import psutil

from helpers.environment import TOKEN_VARIABLE, URL_VARIABLE, WORKSPACE_VARIABLE

from . import busy, learner, lesson, many, memory, start
from .figures import Row
from .processes import Bench

BENCHMARKS: dict[str, tuple[Callable[[Bench], Iterator[Row]], int]] = {  # and the seconds that each may take
    "start-imports": (start.imports, 60),
    "start-cold": (start.cold, 240),
    "learner-base": (learner.base_model, 300),
    "learner-adapter": (learner.adapter, 300),
    "learner-transformers": (learner.transformers, 120),
    "learner-prefix": (learner.prefix, 180),
    "many-eight": (many.eight, 420),
    "many-thirty": (many.thirty, 180),
    "many-during-fine-tune": (many.during_fine_tune, 120),
    "busy-neighbours": (busy.neighbours, 300),
    "busy-two-services": (busy.two_services, 180),
    "lesson-facts": (lesson.facts, 300),
    "lesson-plain-floats": (lesson.plain_floats, 120),
    "lesson-cold-script": (lesson.cold_script, 120),
    "lesson-forgetting": (lesson.forgetting, 90),
    "lesson-twenty": (lesson.twenty, 180),
    "memory": (memory.memory, 180),
}


def run_limited(name: str, bench: Bench) -> tuple[list[Row], str]:
    """The benchmark's rows, and why it ended early, if it did."""
    limit = BENCHMARKS[name][1]
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_run, args=(name, bench, theirs), name=name)
    process.start()
    theirs.close()
    rows, failure, deadline = [], "its process died", monotonic() + limit
    with ours:
        while ours.poll(max(0.0, deadline - monotonic())):
            try:
                said = ours.recv()
            except EOFError:
                break
            if isinstance(said, Row):
                rows.append(said)
            else:
                failure = said
        else:
            failure = f"it took longer than {limit} seconds"
    _end(process)
    return rows, failure


def _run(name: str, bench: Bench, results: Connection) -> None:
    """In a process of its own: sends each row as it is found, and at the end an empty failure."""
    for variable in (URL_VARIABLE, TOKEN_VARIABLE, WORKSPACE_VARIABLE):
        os.environ.pop(variable, None)
    try:
        for row in BENCHMARKS[name][0](bench):
            results.send(row)
        results.send("")
    except Exception as error:  # noqa: BLE001 - whatever it is, the other benchmarks go on
        traceback.print_exc()
        results.send(f"{type(error).__name__}: {error}")


def _end(process: multiprocessing.process.BaseProcess) -> None:
    """Waits a little for a process that is done, and kills what is left of it and of all that it started."""
    family = []
    with contextlib.suppress(psutil.NoSuchProcess):
        family = psutil.Process(process.pid).children(recursive=True)
    process.join(5)
    process.kill()
    for left in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            left.kill()
    process.join()
