"""What tests run in a tuner's process instead of the recipe: jobs that do as their sample says.

TOGETHER, with a number as its second token, ends when so many files are in the folder that it is to write into; the
first of them is its own.
"""

from __future__ import annotations

import os
import time

from helpers.service.tuner import process
from helpers.service.tuner.job import Ended, GivenUp, TuningProgress, TuningResult

QUICK, FOREVER, DIE, SLOW, TOGETHER = 1, 2, 3, 4, 5
LOADING_FOREVER = "loading forever"  # as the folder


def serve(pipe, folder, signals) -> None:
    """Stands for `process._serve`."""
    process.end_with_the_service()
    if folder == LOADING_FOREVER:
        time.sleep(60)
    pipe.send(None)
    while True:
        job = pipe.recv()
        what, *count = job.samples[0].ids
        if what == DIE:
            os._exit(1)
        if what == SLOW:
            for done in (1, 2):
                pipe.send(TuningProgress("learning", done, 3, 10 * done))
        if what == TOGETHER:
            (job.into / f"{os.getpid()}").touch()
            while len(list(job.into.iterdir())) < count[0]:
                time.sleep(0.01)
        deadline = time.monotonic() + (60 if what == FOREVER else 0)
        while time.monotonic() < deadline and not signals.given_up.value:
            time.sleep(0.01)
        done = TuningResult(os.getpid(), float(signals.threads), 1, 1, Ended.LEARNED)
        pipe.send(GivenUp() if signals.given_up.value else done)
