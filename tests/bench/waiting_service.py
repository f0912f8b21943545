"""`python -m tests.bench.waiting_service`: the service with an engine that waits as long as a real one takes.

All else is real: HTTP, scheduler, store, the files of an adapter in their number and mostly size; so the front can be
measured with more learners, and more tuners, than this machine's cores carry. It waits as long as the real one took on
two cores, by the figures kept in `results/two-cores.json`, and has as many places, but for settings in the
environment: WAITING_ANSWER is the seconds of an answer, WAITING_COMPLETIONS and WAITING_TUNES are the engine's places,
WAITING_SMALLER how many times as small as real ones the files are. With WAITING_PROCESSES the fine-tunes go through as
many processes of `TunerPool`, which wait instead of tuning; without, the engine's own threads wait.
"""

from __future__ import annotations

import os
import random
import sys
import threading
import time
from multiprocessing.connection import Connection
from pathlib import Path

from helpers.service import __main__ as program
from helpers.service.engine import AdapterState, Places, TuningOutcome, TuningSample
from helpers.service.tuner import process
from helpers.service.tuner.job import GGUF_FILE, WEIGHTS_FILE, Ended, Signals, TokenSample, TuningJob, TuningResult
from helpers.service.tuner.pool import TunerPool
from tests.support.fake_engine import FakeEngine

ANSWER_SECONDS = 0.2  # of 8 to 16 tokens
TUNE_SECONDS = 0.75  # of one sample
# Bytes of the files of one adapter of rank 8, as `tests/bench/memory.py` finds them on disk.
FILES = {WEIGHTS_FILE: 2_560_000, GGUF_FILE: 1_280_000, "optimizer.safetensors": 6_820_000}


def _setting(name: str, otherwise: float = 0) -> float:
    return float(os.environ.get(f"WAITING_{name}", otherwise))


def _write(into: Path) -> None:
    for name, size in FILES.items():
        (into / name).write_bytes(random.randbytes(1000) * int(size // 1000 // _setting("SMALLER", 1)))
    (into / "learned.json").write_text('["An answer."]', encoding="utf-8")


class WaitingEngine(FakeEngine):
    """Waits with its answers, and has fine-tunes that wait and leave files of a real one's size."""

    def __init__(self) -> None:
        super().__init__(complete_seconds=_setting("ANSWER", ANSWER_SECONDS))
        self._places = Places(int(_setting("COMPLETIONS", Places.completions)), int(_setting("TUNES", Places.tunes)))
        processes = int(_setting("PROCESSES"))
        self._pool = TunerPool(Path(), Signals.alone(processes).free, processes) if processes else None

    @property
    def places(self) -> Places:
        return self._places

    def fine_tune(
        self, samples: list[TuningSample], adapter: AdapterState, into: Path, given_up: threading.Event
    ) -> TuningOutcome:
        if self._pool is None:
            given_up.wait(TUNE_SECONDS)
            _write(into)
        else:
            tokens = (TokenSample((1, 2), (1, 2)),)
            self._pool.tune(TuningJob(tokens, adapter.rank, adapter.learning_rate, adapter.folder, into), given_up)
        return TuningOutcome(1, 1.0, 4)

    def close(self) -> None:
        if self._pool is not None:
            self._pool.close()


def serve(pipe: Connection, folder: Path, signals: Signals) -> None:
    """Stands for `process._serve` in a tuner's process."""
    process.end_with_the_service()
    pipe.send(None)
    while True:
        job = pipe.recv()
        time.sleep(TUNE_SECONDS)
        _write(job.into)
        pipe.send(TuningResult(1, 1.0, 4, 1, Ended.LEARNED))


if __name__ == "__main__":
    from helpers.service import server
    from helpers.service.calls import Calls

    process._serve = serve
    server.make_calls = lambda options, data, status: Calls(WaitingEngine(), server.open_store(data))
    sys.exit(program.main())
