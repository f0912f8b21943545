"""The tuner's process: limits, a sentence when it dies, and none left behind. With a scripted tuner, without torch."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from helpers.service.local import engine
from helpers.service.local.cores import Cores
from helpers.service.local.embedder import Embedder
from helpers.service.local.embedder_files import EmbedderFiles
from helpers.service.local.engine import LocalEngine
from helpers.service.local.model_files import Weights
from helpers.service.refusals import CallerGone, Failed, TookTooLong
from helpers.service.tuner import process
from helpers.service.tuner.job import Signals, TokenSample, TuningJob
from helpers.service.tuner.process import TunerProcess
from tests.support import fake_tuner
from tests.support.fake_tuner import DIE, FOREVER, QUICK, SLOW

NEVER = threading.Event()


def job(what: int) -> TuningJob:
    return TuningJob((TokenSample((what,), (what,)),), 1, 1e-3, None, Path())


@pytest.fixture
def subject(monkeypatch) -> TunerProcess:
    monkeypatch.setattr(process, "_serve", fake_tuner.serve)
    monkeypatch.setattr(process, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(process, "POLITE_SECONDS", 0.01)
    made = TunerProcess("a folder", Signals.alone())
    yield made
    made.close()


def pid_of(subject: TunerProcess) -> int:
    return subject.tune(job(QUICK), NEVER).trainable_tokens


def test_a_fine_tune_that_takes_too_long_is_ended_and_the_next_one_works(subject, monkeypatch):
    before = pid_of(subject)
    monkeypatch.setattr(process, "TUNE_SECONDS", 0.1)
    with pytest.raises(TookTooLong, match=r"within 0.1 seconds"):
        subject.tune(job(FOREVER), NEVER)
    monkeypatch.undo()
    monkeypatch.setattr(process, "_serve", fake_tuner.serve)
    assert pid_of(subject) != before


def test_a_tuner_that_does_not_load_is_given_up(subject, monkeypatch):
    monkeypatch.setattr(process, "START_SECONDS", 0.1)
    subject._folder = fake_tuner.LOADING_FOREVER
    with pytest.raises(TookTooLong, match="did not load within 0.1 seconds"):
        subject.tune(job(QUICK), NEVER)


def test_the_log_says_how_far_a_fine_tune_is_and_how_it_ended(subject, caplog):
    caplog.set_level("INFO", "gradient.service")
    subject.tune(job(SLOW), NEVER)
    told = [(record.getMessage(), record.fields) for record in caplog.records]
    assert told == [
        ("tuning", {"doing": "learning", "samples": 1, "of": 3, "steps": 10}),
        ("tuning", {"doing": "learning", "samples": 2, "of": 3, "steps": 20}),
        ("tuned", {"samples": 1, "learned": 1, "steps": 1, "ended": "learned", "rate": 1e-3}),
    ]


@pytest.mark.parametrize("when", ["in a fine-tune", "at rest"])
def test_a_tuner_that_dies_is_said_so_or_replaced(subject, when):
    before = pid_of(subject)
    if when == "in a fine-tune":
        with pytest.raises(Failed, match="ended unexpectedly"):
            subject.tune(job(DIE), NEVER)
    else:
        subject._process.kill()
        subject._process.join(5)
    assert pid_of(subject) != before


def test_a_fine_tune_that_no_one_waits_for_ends_and_the_process_stays(subject):
    before, given_up = pid_of(subject), threading.Event()
    threading.Timer(0.05, given_up.set).start()
    with pytest.raises(CallerGone):
        subject.tune(job(FOREVER), given_up)
    assert pid_of(subject) == before


def test_who_gives_up_while_the_tuner_loads_does_not_wait_for_it(subject):
    subject._folder = fake_tuner.LOADING_FOREVER
    given_up = threading.Event()
    given_up.set()
    started = time.monotonic()
    with pytest.raises(CallerGone):
        subject.tune(job(QUICK), given_up)
    assert time.monotonic() - started < 5


def test_no_memory_for_a_process_is_a_sentence_and_no_failed_create(subject, monkeypatch):
    def no_memory(*_, **__):
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr(subject._context.Process, "start", no_memory)
    subject.prepare()  # what create calls: it must not fail for this
    with pytest.raises(Failed, match="out of memory"):
        subject.tune(job(QUICK), NEVER)
    monkeypatch.undo()
    monkeypatch.setattr(process, "_serve", fake_tuner.serve)
    assert pid_of(subject)


def test_a_service_that_ends_as_a_fine_tune_begins_says_so(subject, monkeypatch):
    start = subject._start

    def start_and_close():
        try:
            return start()
        finally:
            subject.close()

    monkeypatch.setattr(subject, "_start", start_and_close)
    with pytest.raises(Failed, match="ended unexpectedly"):
        subject.tune(job(QUICK), NEVER)


@pytest.mark.parametrize("preload", [True, False])
def test_the_tuner_loads_beside_the_decoder_or_waits_until_it_is_needed(preload, subject, monkeypatch, tmp_path):
    """Who fine-tunes as soon as the service is ready has waited for part of its loading already."""
    running: list[bool] = []

    def decoder(gguf: str, threads: object) -> contextlib.ExitStack:
        running.append(subject._process is not None)
        return contextlib.ExitStack()

    monkeypatch.setattr(engine, "Decoder", decoder)
    files = Weights("a model", Path("gguf"), Path("folder"))
    cores = Cores(watch=False)
    embedder = Embedder(EmbedderFiles(tmp_path), lambda: cores.threads)
    LocalEngine(files, subject, embedder, cores, preload=preload).close()
    assert running == [preload]


ORPHAN = """
import os, signal, threading
from helpers.service.tuner import process
from helpers.service.tuner.job import Signals
from tests.service.test_tuner_process import FOREVER, NEVER, job, pid_of
from tests.support import fake_tuner
if __name__ == "__main__":
    process._serve = fake_tuner.serve
    subject = process.TunerProcess("a folder", Signals.alone())
    print(pid_of(subject), flush=True)
    if {busy}:
        threading.Timer(0.2, lambda: os.kill(os.getpid(), 9)).start()
        subject.tune(job(FOREVER), NEVER)
    os.kill(os.getpid(), 9)
"""


@pytest.mark.skipif(os.name == "nt", reason="signals")
@pytest.mark.parametrize("busy", [True, False], ids=["in a fine-tune", "at rest"])
def test_a_killed_service_leaves_no_tuner_behind(tmp_path, busy):
    script = tmp_path / "service.py"
    script.write_text(ORPHAN.format(busy=busy))
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    ended = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=30, env=environment)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert gone(int(ended.stdout), seconds=3)


def gone(pid: int, seconds: float) -> bool:
    """Whether a process ends within a time; one that has ended and that no one has waited for counts as gone."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, 0)
            status = Path(f"/proc/{pid}/stat")
            if not status.exists() or status.read_text().rpartition(")")[2].split()[0] != "Z":
                time.sleep(0.02)
                continue
        return True
    return False
