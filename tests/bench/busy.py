"""Beside other programs: how much longer an answer and the lesson take when one or two processes use all they can get.

A busy process is a Python that counts, at normal priority, on the cores that the service has. The service notices
within a second and goes back within a few (`helpers/service/local/cores.py`), so each side is left alone for that long
first.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from time import sleep

from .figures import Row
from .processes import END_SECONDS, FORGET_SECONDS, Bench, Service
from .workload import FACTS, ask, story, teach, together

TOKENS = 32
BUSY_LIMITS = {1: 1.7, 2: 2.5}  # a fair share of two cores gives 1.5 and 2
AT_ONCE = 5  # answers that each of two services gives, one after the other


def neighbours(bench: Bench) -> Iterator[Row]:
    """An answer of 32 tokens, and one sample from the call to the answer, beside busy processes against without."""
    with bench.service("busy") as service:
        base = service.base()
        teach(base, *FACTS[0])
        for count, limit in BUSY_LIMITS.items():
            beside: dict[str, list[float]] = {"answer": [], "lesson": []}
            quiet: dict[str, list[float]] = {"answer": [], "lesson": []}
            for index in range(bench.times(5)):
                for found, processes in ((quiet, 0), (beside, count)):
                    with _busy(processes):
                        ask(base, story(7000 + index), 1)  # from here on there is a generation for what is there now
                        sleep(1)
                        prompt = story(100 * count + 2 * index + (not processes))
                        found["answer"].append(ask(base, prompt, TOKENS).seconds)
                        found["lesson"].append(teach(base, *FACTS[1 + index % (len(FACTS) - 1)])[0])
            what = f"beside {count} busy process{'es' if count > 1 else ''}"
            for kind, name in (("answer", f"{TOKENS} tokens"), ("lesson", "one sample, call to answer")):
                yield Row(f"{name}, {what}", beside[kind], peer=quiet[kind], peer_name="quiet", at_most=limit)


def two_services(bench: Bench) -> Iterator[Row]:
    """Two services that are both asked at once, in tokens per second each, against one of them alone."""
    with bench.service("one", "--no-preload") as one, bench.service("other", "--no-preload") as other:
        alone, both = [], []
        for index in range(bench.times(3)):
            sleep(FORGET_SECONDS)
            alone.append(_rate(one, 8000 + 50 * index))
            jobs = [partial(_rate, service, 8020 + 50 * index) for service in (one, other)]
            both.append(min(together(jobs)[2]))
    yield Row("two services asked at once, the slower", both, "tokens/s", alone, "one alone", at_least=0.4)


def _rate(service: Service, first: int) -> float:
    base = service.base()
    return TOKENS * AT_ONCE / sum(ask(base, story(first + number), TOKENS).seconds for number in range(AT_ONCE))


@contextlib.contextmanager
def _busy(count: int) -> Iterator[None]:
    """So many processes that use all they can get, for the length of the block; it begins when that is noticed."""
    command = [sys.executable, "-c", "while True: pass"]
    running = [subprocess.Popen(command) for _ in range(count)]
    try:
        sleep(FORGET_SECONDS)
        yield
    finally:
        for process in running:
            process.kill()
            process.wait(END_SECONDS)
