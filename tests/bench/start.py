"""How long a learner waits before anything works: imports, connect(), a cold service, the first fine-tune after it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from time import perf_counter

from .figures import Row
from .processes import ROOT, STEP_SECONDS, Bench, alternate
from .workload import FACTS, ask, sample, story


def imports(bench: Bench) -> Iterator[Row]:
    """`import helpers`, and `connect()` with the service running, against an empty `import gradientai`.

    Each is a fresh interpreter from its start to its end, in the same environment and folder, after one unmeasured run
    that leaves bytecode and files in memory for all three. The service loads no tuner, which would use the cores.
    """
    with bench.service("imports", "--no-preload") as service:
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "GRADIENT_LOCAL_DATA_DIR": str(service.data)}

        def fresh(code: str):
            def measure(_: int) -> float:
                began = perf_counter()
                subprocess.run([sys.executable, "-c", code], env=environment, check=True, timeout=STEP_SECONDS)
                return perf_counter() - began

            return None, measure

        plain, ours, connected = alternate(
            bench.times(9, 3),
            fresh("import gradientai"),
            fresh("import helpers"),
            fresh("from helpers import connect; connect(quiet=True)"),
        )
    yield Row("`import helpers`", ours, peer=plain, peer_name="`import gradientai`", at_most=1.3)
    yield Row(
        "`connect()`, service running",
        connected,
        peer=plain,
        peer_name="`import gradientai`",
        difference=True,
        at_most=0.3,
    )


def cold(bench: Bench) -> Iterator[Row]:
    """A cold service to `ready`, and its first fine-tune, against scripts that only load what a fine-tune needs.

    Cold is a new process; the weights are on disk and, after the warm-up, in the system's file cache, for all alike.
    The fine-tune is called as soon as the service is ready, with one short sample, and timed until it returns. One
    peer imports torch and reads the same weights; the other also builds transformers' model with peft's LoRA, which
    most tuners need. Each is timed as a whole process. A third kind of start asks for 8 tokens instead, while the tuner
    loads, to show that it holds nobody up.
    """
    ready: list[float] = []
    answers: list[float] = []

    def first_fine_tune(index: int) -> float:
        with bench.service(f"cold{index}") as service:
            adapter = service.base().create_model_adapter(name="first")
            began = perf_counter()
            adapter.fine_tune(samples=[sample(*FACTS[0])])
            seconds = perf_counter() - began
            ready.append(service.ready_seconds)
        return seconds

    def first_answer(index: int) -> float:
        with bench.service(f"answer{index}") as service:
            answers.append(ask(service.base(), story(index + 1), 8).seconds)
        return answers[-1]

    tuned, torch_only, whole_model, _ = alternate(
        bench.times(7),
        (None, first_fine_tune),
        (None, lambda _: bench.run_script("read_weights.py", bench.weights.folder)[0]),
        (None, lambda _: bench.run_script("read_weights.py", bench.weights.folder, "model")[0]),
        (None, first_answer),
    )
    yield Row("cold process to `ready`", ready[1:], at_most=1.5)
    yield Row("8 tokens at once after `ready`, tuner loading", answers[1:])
    yield Row("first fine-tune after `ready`", tuned, peer=torch_only, peer_name="torch + weights", at_most=0.7)
    yield Row("first fine-tune after `ready`, model", tuned, peer=whole_model, peer_name="model built with peft")
