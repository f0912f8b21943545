"""A room on the real service: every client plays the third lesson with its own fact, over and over.

    python -m tests.bench.soak --minutes 10 --clients 30

Each client is a workspace of its own with the unmodified SDK, as connect() gives it. A round: create an adapter, ask
(it must not know), fine-tune with one sample, ask (its own answer, exactly), ask an adapter kept from an earlier round
(still that one's own), delete or keep. Prints a table; ends with 1 if an answer was wrong, a call failed, or memory
grew. A refusal for want of room (503 with Retry-After) is no failure: the client waits and asks again.
`tests/bench/test_soak.py` runs a short one, and `ray_kills.py` one on a cluster.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import urllib3
from gradientai.openapi.client.exceptions import ServiceException

from helpers import sdk
from tests.bench.processes import megabytes
from tests.conftest import TOKEN, ServiceProcess
from tests.real.test_real_engine import FACTS, ask, sample

KEEP = 0.3  # share of the adapters that a client keeps until the next round
SAMPLE_SECONDS = 1.0
GROWTH = 1.15  # memory at the end may be so many times that when every client had been through a round
BUSY = 503


@dataclass
class Figures:
    """What the clients saw.

    Attributes:
        seconds: how long each call took, its retries included, by what it was.
        rounds: how many rounds were played to the end.
        refusals: polite 503s, of which the client's own retries took care.
        refused_for_good: 503s that were still there after the last retry; the client asked again.
        wrong: answers that were not its adapter's own, and calls that failed, in words.
        memory: megabytes of the service and its tuner, once a second.
        warm: how many of those were taken before every client had been through a round.
    """

    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    rounds: int = 0
    refusals: int = 0
    refused_for_good: int = 0
    wrong: list[str] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)
    warm: int | None = None

    def memory_at_start(self) -> float:
        """Median of ten seconds from when all were warm, or from the middle on if not all were."""
        first = len(self.memory) // 2 if self.warm is None else self.warm
        return statistics.median(self.memory[min(first, len(self.memory) - 10) :][:10])

    def memory_at_end(self) -> float:
        """Median of the last ten seconds."""
        return statistics.median(self.memory[-10:])

    def table(self) -> str:
        """The figures for people."""
        lines = [f"{'call':<14}{'number':>8}{'median s':>10}{'99th s':>10}{'most s':>10}"]
        for what, seconds in self.seconds.items():
            ordered = sorted(seconds)
            last = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
            lines.append(
                f"{what:<14}{len(ordered):>8}{statistics.median(ordered):>10.2f}{last:>10.2f}{ordered[-1]:>10.2f}"
            )
        requests = sum(map(len, self.seconds.values()))
        lines += [
            f"requests {requests}, rounds {self.rounds}, refusals {self.refusals} "
            f"({self.refused_for_good} after the last retry), wrong or failed {len(self.wrong)}",
            f"memory {self.memory_at_start():.0f} MB when warm, {max(self.memory):.0f} at the most, "
            f"{self.memory_at_end():.0f} at the end",
        ]
        return "\n".join([*lines, *self.wrong[:20]])


class Client(threading.Thread):
    """One learner."""

    def __init__(
        self, number: int, service: ServiceProcess, is_over: Callable[[], bool], figures: Figures, lock: threading.Lock
    ) -> None:
        super().__init__(name=f"learner {number}")
        self._number, self._service, self._is_over = number, service, is_over
        self._figures, self._lock = figures, lock
        self._gradient = sdk.client(service.url, TOKEN, f"learner_{number}")
        self.rounds = 0

    def run(self) -> None:
        try:
            self._play()
        except _TimeIsUp:
            return
        except Exception as error:  # noqa: BLE001 - whatever it is, it is a finding
            self._note(f"{type(error).__name__}: {error}")

    def _play(self) -> None:
        """Plays rounds until it is over."""
        chance, kept = random.Random(self._number), None
        base = self._call("list", self._gradient.list_models, only_base=True)[2]
        while not self._is_over():
            kept = self._round(base, kept, chance.random() < KEEP)
            self.rounds += 1

    def _round(self, base, kept: tuple[Any, tuple[str, str]] | None, keep: bool) -> tuple[Any, tuple[str, str]] | None:
        question, answer = fact = FACTS[(self._number + 7 * self.rounds) % len(FACTS)]
        adapter = self._call("create", base.create_model_adapter, name="mine")
        if self._call("ask before", ask, adapter, question).strip() == answer:
            self._note(f"knew {answer!r} before it was taught")
        self._call("fine-tune", adapter.fine_tune, samples=[sample(question, answer)])
        self._expect(adapter, fact)
        if kept is not None:
            self._expect(*kept)
            self._call("delete", kept[0].delete)
        if keep:
            return adapter, fact
        self._call("delete", adapter.delete)
        return None

    def _expect(self, adapter, fact: tuple[str, str]) -> None:
        said = self._call("ask after", ask, adapter, fact[0]).strip()
        if said != fact[1]:
            self._note(f"round {self.rounds}: {fact[0]!r} was answered {said!r}, not {fact[1]!r}")

    def _call(self, what: str, function: Callable, *arguments, **named):
        """Times a call; one that is refused for good is made again until it is over."""
        began = time.monotonic()
        while True:
            if self._is_over():
                raise _TimeIsUp
            try:
                answer = function(*arguments, **named)
            except ServiceException as error:
                if error.status != BUSY or "Retry-After" not in (error.headers or {}):
                    raise
                with self._lock:
                    self._figures.refused_for_good += 1
                continue
            self._took(what, began)
            return answer

    def _took(self, what: str, began: float) -> None:
        with self._lock:
            self._figures.seconds[what].append(time.monotonic() - began)

    def _note(self, words: str) -> None:
        with self._lock:
            self._figures.wrong.append(f"{self.name}: {words}")


class _TimeIsUp(Exception):
    """Raised inside a client when the soak is over."""


def for_seconds(seconds: float) -> Callable[[], bool]:
    """Is over when so many have passed."""
    until = time.monotonic() + seconds
    return lambda: time.monotonic() > until


def soak(service: ServiceProcess, is_over: Callable[[], bool], clients: int, client: type[Client] = Client) -> Figures:
    """Plays for a while.

    Args:
        service: a running service.
        is_over: whether it is time to end; calls under way then are still awaited.
        clients: how many learners.
        client: what each of them does.
    """
    figures, lock = Figures(), threading.Lock()
    learners = [client(number, service, is_over, figures, lock) for number in range(clients)]
    real = urllib3.Retry.sleep_for_retry

    def counted(retry, response):
        with lock:
            figures.refusals += 1
        return real(retry, response)

    urllib3.Retry.sleep_for_retry = counted
    try:
        for learner in learners:
            learner.start()
        while any(learner.is_alive() for learner in learners):
            figures.memory.append(megabytes(service.process.pid))
            if figures.warm is None and all(learner.rounds for learner in learners):
                figures.warm = len(figures.memory)
            time.sleep(SAMPLE_SECONDS)
    finally:
        urllib3.Retry.sleep_for_retry = real
    figures.rounds = sum(learner.rounds for learner in learners)
    return figures


def main(arguments: list[str] | None = None) -> int:
    """Runs a soak on a service of its own; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.soak", description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--clients", type=int, default=30)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="gradient-soak-") as folder:
        data = Path(folder) / "data"
        data.mkdir()
        service = ServiceProcess(data)
        try:
            figures = soak(service, for_seconds(options.minutes * 60), options.clients)
        finally:
            service.stop()
    print(f"{options.clients} clients, {options.minutes:g} minutes")
    print(figures.table())
    grown = figures.memory_at_end() > GROWTH * figures.memory_at_start()
    return 1 if figures.wrong or grown else 0


if __name__ == "__main__":
    sys.exit(main())
