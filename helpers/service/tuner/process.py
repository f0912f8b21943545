"""Runs `recipe.Tuner` in a process of its own: started when wanted, ended at a time limit, freed when idle.

It ends with the service, however that ends. Made and called by `pool.py`, which has as many as there are fine-tunes at
once. A spawned process is used on every platform: llama.cpp's threads do not survive a fork.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
import time
import traceback
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from .. import logs
from ..refusals import CallerGone, Failed, LossRanAway, TookTooLong
from .job import GivenUp, NanLoss, Signals, TuningJob, TuningProgress, TuningResult

START_SECONDS = 120
TUNE_SECONDS = 1800  # twice as long as the recipe learns; on most machines even the longest call ends before
POLITE_SECONDS = 0.5
LOOK_SECONDS = 0.1  # how often a fine-tune's caller looks whether someone still waits for it
IDLE_SECONDS = 600  # after this long without a fine-tune, its half gigabyte goes back


class TunerProcess:
    """A tuner, seen from the service. Methods may be called from several threads; one fine-tune runs at a time.

    Args:
        folder: Hugging Face folder of the base model.
        signals: what it is told while it runs.
    """

    def __init__(self, folder: Path, signals: Signals) -> None:
        self._folder = folder
        self._lock = threading.Lock()  # held for a whole fine-tune
        self._process: multiprocessing.process.BaseProcess | None = None
        self._pipe: Connection | None = None
        self._ready = False
        self._idle: threading.Timer | None = None
        self._context = multiprocessing.get_context("spawn")
        self._signals = signals

    @property
    def runs(self) -> bool:
        """Whether its process is there, at work or at rest."""
        process = self._process
        return process is not None and process.is_alive()

    def prepare(self) -> None:
        """Starts the process if it isn't running, without waiting for it."""
        if self._lock.acquire(blocking=False):  # else a fine-tune runs, and so does the process
            try:
                with contextlib.suppress(OSError):  # no memory for it now: the fine-tune tries again, and says so
                    self._start()
            finally:
                self._lock.release()

    def tune(self, job: TuningJob, given_up: threading.Event) -> TuningResult:
        """Runs one fine-tune.

        Args:
            job: what to tune.
            given_up: once it is set, the fine-tune ends before its next step, and nothing is written.

        Raises:
            Refusal: the loss ran away, the disk is full, the process died, it took too long, or was given up.
        """
        with self._lock:
            try:
                pipe = self._start()
                self._signals.given_up.value = 0
                if not self._ready:
                    self._wait(pipe, START_SECONDS, "The tuner did not load", given_up)
                    self._ready = True
                pipe.send(job)
                result = self._wait(pipe, TUNE_SECONDS, "The fine-tune was not done", given_up)
            except (EOFError, OSError):
                self._stop()
                raise Failed(
                    "The process that fine-tunes ended unexpectedly (out of memory?); the adapter is as it was before. "
                    "Try again, with fewer or shorter samples."
                ) from None
        _log_result(job, result)
        return result

    def close(self) -> None:
        """Ends the process at once; a fine-tune that is under way fails."""
        self._stop()

    def _start(self) -> Connection:
        """Starts the process if it isn't running, and gives the pipe to it."""
        self._rest_later()
        process, pipe = self._process, self._pipe
        if process is not None and pipe is not None and process.is_alive():
            return pipe
        pipe, theirs = self._context.Pipe()
        arguments = (theirs, self._folder, self._signals)
        process = self._context.Process(target=_serve, args=arguments, name="tuner", daemon=True)
        process.start()
        theirs.close()
        self._process, self._pipe, self._ready = process, pipe, False
        return pipe

    def _wait(self, pipe: Connection, seconds: float, what: str, given_up: threading.Event) -> Any:
        """What the process says that is no progress: None when it is ready, a TuningResult of a job."""
        deadline = time.monotonic() + seconds
        while True:
            if pipe.poll(LOOK_SECONDS):  # returns at once when there is something to read
                answer = pipe.recv()
                if not isinstance(answer, TuningProgress):
                    break
                logs.event("tuning", **vars(answer))
            if given_up.is_set():
                if not self._ready:
                    raise CallerGone  # whoever comes next waits on for the same process
                self._signals.given_up.value = 1
            if time.monotonic() > deadline:
                self._stop()
                raise TookTooLong(f"{what} within {seconds:g} seconds and was ended; try fewer samples.")
        self._rest_later()
        if isinstance(answer, GivenUp):
            raise CallerGone
        if isinstance(answer, NanLoss):
            raise LossRanAway
        if isinstance(answer, Exception):
            raise Failed(f"The fine-tune failed and was undone: {answer}.")
        return answer

    def _rest_later(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
        self._idle = threading.Timer(IDLE_SECONDS, self._rest)
        self._idle.daemon = True
        self._idle.start()

    def _rest(self) -> None:
        if self._lock.acquire(blocking=False):
            try:
                self._stop()
            finally:
                self._lock.release()

    def _stop(self) -> None:
        process, pipe, self._process, self._pipe = self._process, self._pipe, None, None
        if self._idle is not None:
            self._idle.cancel()
        if pipe is not None:
            pipe.close()  # an idle process ends by itself then
        if process is not None:
            process.join(POLITE_SECONDS)
            process.kill()
            process.join(5)


def _log_result(job: TuningJob, result: TuningResult) -> None:
    """Says whether the call learned what it was given: with a rate that is too small it is not to be seen elsewhere."""
    logs.event(
        "tuned",
        samples=len(job.samples),
        learned=result.learned,
        steps=result.steps,
        ended=result.ended.value,
        rate=job.learning_rate,
    )


def end_with_the_service() -> None:
    """Called in the process: ends it at once when the service has gone, in the middle of a fine-tune too. A closed pipe
    alone would be noticed only after it, and a service that was killed may have been started again by then."""
    service = multiprocessing.parent_process()
    if service is None:  # this is none that was started so
        return
    ended = service.sentinel

    def watch() -> None:
        multiprocessing.connection.wait([ended])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _serve(pipe: Connection, folder: Path, signals: Signals) -> None:
    """The process's main loop: says None when ready, then answers each job with a result or an exception."""
    end_with_the_service()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal reaches the whole group; the service decides
    with contextlib.suppress(EOFError, OSError):  # the service is gone: so are we
        try:
            from .recipe import Tuner

            tuner = Tuner(folder, signals, pipe.send)
            pipe.send(None)
        except Exception as error:  # noqa: BLE001 - told to the service, whatever it is
            traceback.print_exc()
            pipe.send(RuntimeError(f"the tuner could not be loaded: {error}"))
            return
        while True:
            job = pipe.recv()
            try:
                pipe.send(tuner.tune(job))
            except (NanLoss, GivenUp) as end:
                pipe.send(type(end)())
            except OSError as error:
                pipe.send(RuntimeError(f"its result could not be written ({error.strerror}); make room and try again"))
            except Exception as error:  # noqa: BLE001
                traceback.print_exc()
                pipe.send(RuntimeError(str(error) or type(error).__name__))
