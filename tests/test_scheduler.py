"""Turns per adapter: together, alone, in order, and none lost when a caller gives up."""

from __future__ import annotations

import asyncio
import threading

import pytest

from helpers.service import errors, scheduler
from helpers.service.scheduler import Scheduler


def run(story):
    """Runs an async story against a fresh scheduler, within ten seconds."""

    async def bounded():
        subject = Scheduler()
        try:
            return await asyncio.wait_for(story(subject), 10)
        finally:
            subject.close()

    return asyncio.run(bounded())


def test_completions_of_one_adapter_run_together():
    async def story(subject):
        meeting = threading.Barrier(3, timeout=5)

        async def completion():
            async with subject.turn("a", exclusive=False):
                return await subject.run(meeting.wait)

        return await asyncio.gather(*(completion() for _ in range(3)))

    assert sorted(run(story)) == [0, 1, 2]


def test_a_fine_tune_runs_alone_and_later_completions_wait_for_it():
    async def story(subject):
        order = []

        async def job(name, exclusive):
            async with subject.turn("a", exclusive):
                order.append(f"{name} starts")
                await asyncio.sleep(0.02)
                order.append(f"{name} ends")

        await asyncio.gather(job("complete", False), job("tune", True), job("complete after", False))
        return order

    assert run(story) == [
        "complete starts",
        "complete ends",
        "tune starts",
        "tune ends",
        "complete after starts",
        "complete after ends",
    ]


def test_another_adapter_is_not_held_up():
    async def story(subject):
        async with subject.turn("a", exclusive=True), subject.turn("b", exclusive=True):
            return "both"

    assert run(story) == "both"


def test_one_who_gives_up_waiting_holds_up_no_one():
    async def story(subject):
        async def wait():
            async with subject.turn("a", exclusive=True):
                pass

        async with subject.turn("a", exclusive=False):
            waiting = asyncio.create_task(wait())
            await asyncio.sleep(0)
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
        async with subject.turn("a", exclusive=True):
            return "free again"

    assert run(story) == "free again"


def test_a_cancelled_caller_keeps_its_turn_until_the_work_has_ended():
    async def story(subject):
        working, finish = threading.Event(), threading.Event()

        async def tune():
            async with subject.turn("a", exclusive=True):
                await subject.run(lambda: (working.set(), finish.wait(5)))

        caller = asyncio.create_task(tune())
        await asyncio.to_thread(working.wait, 5)
        caller.cancel()
        await asyncio.sleep(0.05)
        held = not caller.done()
        finish.set()
        await asyncio.gather(caller, return_exceptions=True)
        return held and caller.cancelled()

    assert run(story) is True


def test_too_much_work_is_refused_with_a_time_to_retry(monkeypatch):
    monkeypatch.setattr(scheduler, "WORKERS", 1)
    monkeypatch.setattr(scheduler, "MAX_WAITING", 0)

    async def story(subject):
        finish = threading.Event()
        first = asyncio.create_task(subject.run(lambda: finish.wait(5)))
        await asyncio.sleep(0.01)
        with pytest.raises(errors.ServiceError) as refusal:
            await subject.run(lambda: None)
        finish.set()
        await first
        return refusal.value

    refusal = run(story)
    assert (refusal.status, refusal.headers["Retry-After"]) == (503, "2")


def test_forgotten_adapters_take_no_memory():
    async def story(subject):
        async with subject.turn("a", exclusive=False):
            pass
        return subject._turns

    assert run(story) == {}
