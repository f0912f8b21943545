"""What `test_tuner_process.py` runs in the tuner's process instead of torch: jobs that do as their sample says."""

from __future__ import annotations

import os
import time

from helpers.service.tuner import process
from helpers.service.tuner.job import Ended, GivenUp, TuningProgress, TuningResult

QUICK, FOREVER, DIE, SLOW = 1, 2, 3, 4
LOADING_FOREVER = "loading forever"  # as the folder


def serve(pipe, folder, signals) -> None:
    """Stands for `process._serve`."""
    process.end_with_the_service()
    if folder == LOADING_FOREVER:
        time.sleep(60)
    pipe.send(None)
    while True:
        what = pipe.recv().samples[0].ids[0]
        if what == DIE:
            os._exit(1)
        if what == SLOW:
            for done in (1, 2):
                pipe.send(TuningProgress("learning", done, 3, 10 * done))
        deadline = time.monotonic() + (60 if what == FOREVER else 0)
        while time.monotonic() < deadline and not signals.given_up.value:
            time.sleep(0.01)
        pipe.send(GivenUp() if signals.given_up.value else TuningResult(os.getpid(), 0.0, 1, 1, Ended.LEARNED))
