"""Several tuners: as many fine-tunes at once, cores divided among them, one that dies alone. With scripted tuners."""

from __future__ import annotations

import contextlib
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from helpers.service.refusals import CallerGone, Failed
from helpers.service.tuner import pool, process
from helpers.service.tuner.job import Signals, TokenSample, TuningJob, TuningResult
from helpers.service.tuner.pool import TunerPool
from tests.support import fake_tuner
from tests.support.fake_tuner import FOREVER, QUICK, TOGETHER
from tests.support.waiting import wait_until

NEVER = threading.Event()
TUNERS = 3
CORES = 7


def job(*what: int, into: Path = Path()) -> TuningJob:
    return TuningJob((TokenSample(what, what),), 1, 1e-3, None, into)


@pytest.fixture
def subject(monkeypatch) -> TunerPool:
    monkeypatch.setattr(process, "_serve", fake_tuner.serve)
    monkeypatch.setattr(process, "POLITE_SECONDS", 0.01)
    for module in (process, pool):
        monkeypatch.setattr(module, "LOOK_SECONDS", 0.01)
    made = TunerPool("a folder", Signals.alone(CORES).free, TUNERS)
    yield made
    made.close()


@pytest.fixture
def threads():
    with ThreadPoolExecutor(TUNERS + 1) as made:
        yield made


def all_at_work(subject: TunerPool, threads: ThreadPoolExecutor, folder: Path, wait_for: int) -> list[Future]:
    """As many fine-tunes as there are tuners, which end when so many files are in the folder."""
    jobs = [threads.submit(subject.tune, job(TOGETHER, wait_for, into=folder), NEVER) for _ in range(TUNERS)]
    wait_until(lambda: len(list(folder.iterdir())) >= TUNERS, 30)
    return jobs


def results(jobs: list[Future]) -> list[TuningResult]:
    return [one.result(30) for one in jobs]


def test_as_many_fine_tunes_run_at_once_as_there_are_tuners(subject, threads, tmp_path):
    """Each waits until all have begun, in a process of its own."""
    done = results(all_at_work(subject, threads, tmp_path, TUNERS))
    assert len({one.trainable_tokens for one in done}) == subject.running == TUNERS


def test_cores_are_divided_among_those_at_work_and_left_to_completions_by_all(subject, threads, tmp_path):
    assert subject.tune(job(QUICK), NEVER).sum_loss == CORES  # threads
    for name, completing, expected in (("quiet", False, CORES // TUNERS), ("answers", True, CORES // 2 // TUNERS)):
        (folder := tmp_path / name).mkdir()
        with subject.completing() if completing else contextlib.nullcontext():
            jobs = all_at_work(subject, threads, folder, TUNERS + 1)
            (folder / "go").touch()
            told = [one.sum_loss for one in results(jobs)]
        assert min(told) == expected  # the first to look; the last may be alone by then
    assert subject._signals.tuning.value == subject._signals.completing.value == 0


def test_a_tuner_that_is_killed_takes_no_other_fine_tune_with_it(subject, threads, tmp_path):
    jobs = all_at_work(subject, threads, tmp_path, TUNERS + 1)
    subject._tuners[1]._process.kill()
    wait_until(lambda: any(one.done() for one in jobs))
    (failed,) = [one for one in jobs if one.done()]
    with pytest.raises(Failed, match="ended unexpectedly"):
        failed.result(30)
    (tmp_path / "go").touch()
    assert len({one.trainable_tokens for one in results([one for one in jobs if one is not failed])}) == TUNERS - 1
    (again := tmp_path / "again").mkdir()
    assert len(results(all_at_work(subject, threads, again, TUNERS))) == TUNERS


def test_a_tuner_that_is_not_needed_is_not_started(subject):
    assert subject.running == 0
    subject.prepare()
    assert len({subject.tune(job(QUICK), NEVER).trainable_tokens for _ in range(4)}) == subject.running == 1


def test_tuners_that_rest_for_long_end(subject, threads, tmp_path, monkeypatch):
    monkeypatch.setattr(process, "IDLE_SECONDS", 0.05)
    results(all_at_work(subject, threads, tmp_path, TUNERS))
    wait_until(lambda: subject.running == 0)
    assert subject.tune(job(QUICK), NEVER)


def test_who_waits_for_a_tuner_in_vain_may_give_up(subject, threads, tmp_path):
    jobs = all_at_work(subject, threads, tmp_path, TUNERS + 1)
    given_up = threading.Event()
    waits = threads.submit(subject.tune, job(QUICK), given_up)
    given_up.set()
    with pytest.raises(CallerGone):
        waits.result(30)
    (tmp_path / "go").touch()
    assert results(jobs)


def test_closing_ends_all_that_is_under_way(subject, threads):
    jobs = [threads.submit(subject.tune, job(FOREVER), NEVER) for _ in range(TUNERS)]
    wait_until(lambda: subject.running == TUNERS and all(one._ready for one in subject._tuners), 30)
    subject.close()
    for one in jobs:
        with pytest.raises(Failed):
            one.result(30)
    assert subject.running == 0


@pytest.mark.parametrize(("free", "places"), [(7, 3), (5, 2), (3, 1), (1, 1)])
def test_fewer_fine_tunes_run_at_once_while_other_programs_use_the_cores(subject, free, places):
    subject._signals.free.value = free
    assert subject.places == places


@pytest.mark.parametrize(
    ("cores", "memory", "tuners"),
    [(1, 8e9, 1), (2, 64e9, 1), (3, 64e9, 1), (4, 64e9, 2), (32, 64e9, 16), (32, 1e9, 2), (8, 0, 1)],
)
def test_a_machine_carries_as_many_tuners_as_its_cores_and_its_memory(cores, memory, tuners):
    assert pool.how_many(cores, int(memory)) == tuners
