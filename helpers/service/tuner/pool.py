"""Several tuners, each a process of its own (`process.py`), so that as many fine-tunes run at once as the cores carry.

They share the file of the weights, which is mapped, and what they are told while they run: the cores are divided among
those at work, so that one alone has them all and many use no more than there are. Whoever rested last is taken first,
so that those who are not needed rest until their process ends. Made by `server.py`, called by `local/engine.py` as an
`engine.Tuner`. Which fine-tunes may run at once, the scheduler decides: never two of one adapter.
"""

from __future__ import annotations

import contextlib
import ctypes
import queue
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ..refusals import CallerGone
from .job import Signals, TuningJob, TuningResult
from .process import LOOK_SECONDS, TunerProcess

CORES_OF_ONE = 2
MEMORY_OF_ONE = 500_000_000


def how_many(cores: int, memory: int) -> int:
    """How many tuners a machine carries, at least 1.

    Args:
        cores: that there are for the service.
        memory: that is free, in bytes.
    """
    return max(1, min(cores // CORES_OF_ONE, memory // MEMORY_OF_ONE))


class TunerPool:
    """The tuners. Methods and attributes may be used on any thread; a tuner that is not needed is not started.

    Args:
        folder: Hugging Face folder of the base model.
        free: how many cores no other program uses right now, in shared memory; at first, how many there are.
        count: how many tuners there may be.
    """

    def __init__(self, folder: Path, free: ctypes.c_int, count: int) -> None:
        self._signals = Signals.beside(free)
        self._cores = free.value
        self._tuners = [TunerProcess(folder, self._signals.of_another()) for _ in range(count)]
        self._resting: queue.LifoQueue[TunerProcess] = queue.LifoQueue()
        for tuner in self._tuners:
            self._resting.put(tuner)
        self._counting = threading.Lock()

    @property
    def places(self) -> int:
        """How many fine-tunes may run at once: fewer while other programs use a part of the cores, and always one."""
        return max(1, len(self._tuners) * self._signals.free.value // self._cores)

    @property
    def running(self) -> int:
        """How many processes there are, at work or at rest."""
        return sum(tuner.runs for tuner in self._tuners)

    def prepare(self) -> None:
        """Starts the tuner that is taken next, if it doesn't run, without waiting for it."""
        with contextlib.suppress(queue.Empty):  # all are at work, so all run
            tuner = self._resting.get_nowait()
            try:
                tuner.prepare()
            finally:
                self._resting.put(tuner)

    def completing(self) -> contextlib.AbstractContextManager[None]:
        """Wraps a completion: meanwhile all fine-tunes leave cores to it (see `Signals`)."""
        return self._counted(self._signals.completing)

    def tune(self, job: TuningJob, given_up: threading.Event) -> TuningResult:
        """Runs one fine-tune on a tuner that rests; waits for one if none does.

        Args:
            job: what to tune.
            given_up: once it is set, the fine-tune ends before its next step, and nothing is written.

        Raises:
            Refusal: as `TunerProcess.tune`. Other fine-tunes that are under way are unaffected.
        """
        tuner = self._taken(given_up)
        try:
            with self._counted(self._signals.tuning):
                return tuner.tune(job, given_up)
        finally:
            self._resting.put(tuner)

    def close(self) -> None:
        """Ends all processes at once; fine-tunes that are under way fail."""
        with ThreadPoolExecutor(len(self._tuners)) as threads:
            list(threads.map(TunerProcess.close, self._tuners))

    def _taken(self, given_up: threading.Event) -> TunerProcess:
        while not given_up.is_set():
            with contextlib.suppress(queue.Empty):
                return self._resting.get(timeout=LOOK_SECONDS)
        raise CallerGone

    @contextlib.contextmanager
    def _counted(self, number: ctypes.c_int) -> Iterator[None]:
        """One more, as long as the block runs."""
        with self._counting:
            number.value += 1
        try:
            yield
        finally:
            with self._counting:
                number.value -= 1
