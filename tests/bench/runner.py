"""All benchmarks by name, each run in a process of its own with a time limit. Called by `__main__.py`.

They are not in `__main__.py` itself because a spawned process can't import a package's `__main__`.
"""

from __future__ import annotations

import multiprocessing
import os
import traceback
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from time import monotonic
from typing import NamedTuple

from helpers.environment import TOKEN_VARIABLE, URL_VARIABLE, WORKSPACE_VARIABLE
from tests.support import process_tree

from . import busy, embedding, front, learner, lesson, many, memory, retrieval, start, tuning
from .figures import Row
from .processes import Bench


class Benchmark(NamedTuple):
    """What there is to run.

    Attributes:
        measure: finds the rows.
        seconds: that it may take.
        has_peers: whether it needs the environment of other people's software.
    """

    measure: Callable[[Bench], Iterator[Row]]
    seconds: int
    has_peers: bool = False


BENCHMARKS = {
    "start-imports": Benchmark(start.imports, 60),
    "start-cold": Benchmark(start.cold, 240, has_peers=True),
    "learner-base": Benchmark(learner.base_model, 300, has_peers=True),
    "learner-adapter": Benchmark(learner.adapter, 300, has_peers=True),
    "learner-transformers": Benchmark(learner.transformers, 120, has_peers=True),
    "learner-prefix": Benchmark(learner.prefix, 180, has_peers=True),
    "many-eight": Benchmark(many.eight, 420),
    "many-thirty": Benchmark(many.thirty, 180),
    "many-during-fine-tune": Benchmark(many.during_fine_tune, 120),
    "busy-neighbours": Benchmark(busy.neighbours, 300),
    "busy-two-services": Benchmark(busy.two_services, 180),
    "lesson-facts": Benchmark(lesson.facts, 300),
    "lesson-cold-script": Benchmark(lesson.cold_script, 120, has_peers=True),
    "lesson-forgetting": Benchmark(lesson.forgetting, 360),
    "lesson-twenty": Benchmark(lesson.twenty, 180),
    "tuner": Benchmark(tuning.tuner, 600, has_peers=True),
    "embeddings": Benchmark(embedding.embeddings, 240),
    "memory": Benchmark(memory.memory, 180),
    "retrieval": Benchmark(retrieval.ingestion, 240),
    "front-tuners": Benchmark(front.tuners, 240),
    "front-thirty": Benchmark(front.thirty, 120),
    "front-learners": Benchmark(front.learners, 500),
    "front-limit": Benchmark(front.limit, 120),
}


def run_limited(name: str, bench: Bench) -> tuple[list[Row], str]:
    """The benchmark's rows, and why it ended early, if it did."""
    limit = BENCHMARKS[name].seconds
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
        for row in BENCHMARKS[name].measure(bench):
            results.send(row)
        results.send("")
    except Exception as error:  # noqa: BLE001 - whatever it is, the other benchmarks go on
        traceback.print_exc()
        results.send(f"{type(error).__name__}: {error}")


def _end(process: multiprocessing.process.BaseProcess) -> None:
    """Waits a little for a process that is done, and kills what is left of it and of all that it started."""
    family = process_tree.tree(process.pid)
    process.join(5)
    process_tree.kill(family)
    process.join()
