"""`python -m tests.bench.waiting_service`: the service with an engine that waits as long as a real one takes.

All else is real: HTTP, scheduler, store, the files of an adapter in their number and mostly size; so the front can be
measured with more learners, and more tuners, than this machine's cores carry. Its settings are in the environment:
WAITING_ANSWER and WAITING_TUNE are the seconds of an answer and of a fine-tune of one sample, WAITING_SAMPLE those of
each further sample, WAITING_COMPLETIONS and WAITING_TUNES the engine's places, WAITING_SMALLER how many times as small
as real ones the files are. With WAITING_PROCESSES the fine-tunes go through as many processes of `TunerPool`, which
wait instead of tuning; without, the engine's own threads wait.
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
from helpers.service.engine import (
    AdapterState,
    Completion,
    CompletionRequest,
    Engine,
    Places,
    TuningOutcome,
    TuningSample,
)
from helpers.service.tuner import process
from helpers.service.tuner.job import GGUF_FILE, WEIGHTS_FILE, Ended, Signals, TokenSample, TuningJob, TuningResult
from helpers.service.tuner.pool import TunerPool

# Bytes of the files of one adapter of rank 8, as `tests/bench/memory.py` finds them on disk.
FILES = {WEIGHTS_FILE: 2_560_000, GGUF_FILE: 1_280_000, "optimizer.safetensors": 6_820_000}


def _setting(name: str) -> float:
    return float(os.environ.get(f"WAITING_{name}", "0"))


def _seconds(samples: int) -> float:
    return _setting("TUNE") + (samples - 1) * _setting("SAMPLE")


def _write(into: Path) -> None:
    for name, size in FILES.items():
        (into / name).write_bytes(random.randbytes(1000) * (size // 1000 // (int(_setting("SMALLER")) or 1)))


class WaitingEngine(Engine):
    """Waits, and says what a fine-tune says."""

    def __init__(self) -> None:
        self._places = Places(int(_setting("COMPLETIONS")) or 16, int(_setting("TUNES")) or 1)
        processes = int(_setting("PROCESSES"))
        self._pool = TunerPool(Path(), Signals.alone(processes).free, processes) if processes else None

    @property
    def weights_name(self) -> str:
        """See `Engine`."""
        return "waits"

    @property
    def places(self) -> Places:
        """See `Engine`."""
        return self._places

    def complete(
        self, request: CompletionRequest, base_slug: str, adapter: AdapterState | None, given_up: threading.Event
    ) -> Completion:
        """See `Engine`."""
        given_up.wait(_setting("ANSWER"))
        return Completion("An answer.", "stop")

    def fine_tune(
        self, samples: list[TuningSample], adapter: AdapterState, into: Path, given_up: threading.Event
    ) -> TuningOutcome:
        """See `Engine`."""
        if self._pool is None:
            given_up.wait(_seconds(len(samples)))
            _write(into)
        else:
            tokens = (TokenSample((1, 2), (1, 2)),) * len(samples)
            self._pool.tune(TuningJob(tokens, adapter.rank, adapter.learning_rate, adapter.folder, into), given_up)
        return TuningOutcome(len(samples), 1.0, 4)

    def close(self) -> None:
        """See `Engine`."""
        if self._pool is not None:
            self._pool.close()


def serve(pipe: Connection, folder: Path, signals: Signals) -> None:
    """Stands for `process._serve` in a tuner's process."""
    process.end_with_the_service()
    pipe.send(None)
    while True:
        job = pipe.recv()
        time.sleep(_seconds(len(job.samples)))
        _write(job.into)
        pipe.send(TuningResult(1, 1.0, 4, len(job.samples), Ended.LEARNED))


if __name__ == "__main__":
    from helpers.service import server
    from helpers.service.calls import Calls

    process._serve = serve
    server.make_calls = lambda options, data, status: Calls(WaitingEngine(), server.open_store(data))
    sys.exit(program.main())
