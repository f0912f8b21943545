"""Turns: fair by workspace, an adapter's changes alone and in order, a bounded queue, none lost."""

from __future__ import annotations

import asyncio
import gc
import threading

import pytest

from helpers.service import scheduler
from helpers.service.engine import Places
from helpers.service.refusals import Busy
from helpers.service.scheduler import Kind, Scheduler

ORIGINAL_SHIELD = asyncio.shield
TURNS = 5  # of the event loop: more than what was begun or cancelled on it needs to reach the scheduler


class Story:
    """A scheduler whose work is held until the test lets it go: what has started, what was given up, its places."""

    def __init__(self, places: Places) -> None:
        self.places = places
        self.subject = Scheduler(lambda: self.places)
        self.started: list[str] = []
        self.given_up: list[str] = []
        self._gates: dict[str, threading.Event] = {}
        self._loop = asyncio.get_running_loop()

    def request(
        self,
        name: str,
        workspace: str,
        kind: Kind = Kind.COMPLETE,
        adapter: str | None = None,
        exclusive: bool = False,
        stubborn: bool = False,
        raising: Exception | None = None,
    ) -> asyncio.Task:
        """A request that runs until `let_go(name)`, or, unless it is stubborn, until it is given up."""
        gate = self._gates[name] = threading.Event()

        def work(given_up: threading.Event) -> str:
            self._loop.call_soon_threadsafe(self.started.append, name)
            while not gate.wait(0.002) and (stubborn or not given_up.is_set()):
                pass
            gate.set()
            if given_up.is_set():
                self._loop.call_soon_threadsafe(self.given_up.append, name)
            if raising is not None:
                raise raising
            return name

        return asyncio.create_task(self.subject.run(workspace, work, kind, adapter, exclusive))

    async def let_go(self, *names: str) -> None:
        for name in names:
            self._gates[name].set()
        await self.settled()

    async def settled(self) -> None:
        """Returns when what was asked for has reached the scheduler, and no work is on its way in or out: as many run
        as have said that they started and are held. However slow the machine is, `run` has the limit."""
        for _ in range(TURNS):
            await asyncio.sleep(0)
        while self.subject.load()[0] != sum(not self._gates[name].is_set() for name in self.started):
            await asyncio.sleep(0.001)
        for _ in range(TURNS):  # for callers to take what their work gave
            await asyncio.sleep(0)

    def end(self) -> None:
        self.started, self.given_up = [], []  # what a story has returned stays as it is
        for gate in self._gates.values():
            gate.set()
        self.subject.close()


def run(story, places=Places()):  # noqa: B008 - it is frozen
    """Runs an async story, within a minute."""

    async def bounded():
        told = Story(places)
        try:
            return await asyncio.wait_for(story(told), 60)
        finally:
            told.end()

    return asyncio.run(bounded())


ONE_WORKER = Places(completions=1, tunes=1)


def test_completions_of_one_adapter_run_together():
    async def story(told):
        for number in range(3):
            told.request(f"{number}", "w", adapter="a")
        await told.settled()
        return sorted(told.started)

    assert run(story) == ["0", "1", "2"]


def test_a_fine_tune_runs_alone_and_later_completions_wait_for_it():
    async def story(told):
        told.request("complete", "w", adapter="a")
        told.request("tune", "w", Kind.TUNE, "a", exclusive=True)
        told.request("complete after", "w", adapter="a")
        await told.settled()
        steps = [list(told.started)]
        await told.let_go("complete")
        steps.append(list(told.started))
        await told.let_go("tune")
        return [*steps, list(told.started)]

    assert run(story) == [["complete"], ["complete", "tune"], ["complete", "tune", "complete after"]]


def test_a_fine_tune_bars_its_own_adapter_and_no_other():
    async def story(told):
        told.request("tune", "w", Kind.TUNE, "a", exclusive=True)
        for name, workspace, adapter in [
            ("same", "w", "a"),
            ("other", "w", "b"),
            ("base", "w", None),
            ("far", "x", "c"),
        ]:
            told.request(name, workspace, adapter=adapter)
        await told.settled()
        return set(told.started)

    assert run(story) == {"tune", "other", "base", "far"}


def test_fine_tunes_that_wait_for_the_tuner_hold_no_worker_of_the_answers():
    async def story(told):
        for number in range(40):
            told.request(f"tune {number}", f"w{number}", Kind.TUNE, f"a{number}", exclusive=True)
        answers = [told.request(f"answer {number}", f"w{number}", adapter=f"b{number}") for number in range(16)]
        await told.settled()
        await told.let_go(*(f"answer {number}" for number in range(16)))
        return sum(answer.done() for answer in answers), [name for name in told.started if "tune" in name]

    assert run(story) == (16, ["tune 0"])


def test_two_hundred_requests_of_one_delay_another_by_one_turn():
    async def story(told):
        for number in range(200):
            told.request(f"greedy {number}", "greedy")
        await told.settled()
        for number in range(29):
            told.request(f"learner {number}", f"learner {number}")
        for _ in range(31):
            await told.let_go(told.started[-1])
        return told.started[:32]

    expected = ["greedy 0", "greedy 1", *(f"learner {number}" for number in range(29)), "greedy 2"]
    assert run(story, ONE_WORKER) == expected


def test_fine_tunes_are_fair_by_workspace_too():
    async def story(told):
        for number in range(5):
            told.request(f"greedy {number}", "greedy", Kind.TUNE, f"a{number}", exclusive=True)
        told.request("learner", "learner", Kind.TUNE, "b", exclusive=True)
        await told.settled()
        for _ in range(3):
            await told.let_go(told.started[-1])
        return told.started

    assert run(story) == ["greedy 0", "greedy 1", "learner", "greedy 2"]


@pytest.mark.parametrize(
    ("kind", "places", "share"),
    [
        (Kind.COMPLETE, Places(completions=8), 3),
        (Kind.TUNE, Places(tunes=4), 3),
        (Kind.TUNE, Places(tunes=2), 1),
    ],
)
def test_one_workspace_can_not_take_every_worker(kind, places, share):
    async def story(told):
        for number in range(10):
            told.request(f"greedy {number}", "greedy", kind, f"a{number}", exclusive=True)
        told.request("learner", "learner", kind, "b", exclusive=True)
        await told.settled()
        return sorted(told.started)  # each says so on a thread of its own

    assert run(story, places) == [*(f"greedy {number}" for number in range(share)), "learner"]


def test_sixteen_fine_tunes_of_sixteen_adapters_run_at_once_and_never_two_on_one():
    async def story(told):
        for turn in range(2):
            for number in range(16):
                told.request(f"{number} {turn}", f"w{number}", Kind.TUNE, f"a{number}", exclusive=True)
        await told.settled()
        first = sorted(told.started)
        await told.let_go(*(f"{number} 0" for number in range(4)))
        return first, sorted(told.started[16:])

    first, then = run(story, Places(tunes=16))
    assert first == sorted(f"{number} 0" for number in range(16))
    assert then == [f"{number} 1" for number in range(4)]


def test_places_that_come_while_requests_wait_are_taken_and_those_that_go_end_nothing(monkeypatch):
    monkeypatch.setattr(scheduler, "LOOK_SECONDS", 0.005)

    async def story(told):
        for number in range(6):
            told.request(f"{number}", f"w{number}", Kind.TUNE, f"a{number}", exclusive=True)
        seen = []
        for tunes, started in ((0, 0), (2, 2), (4, 4), (1, 4)):
            told.places = Places(tunes=tunes)
            while len(told.started) < started:  # the scheduler looks now and then
                await asyncio.sleep(0.001)
            await told.settled()
            seen.append(len(told.started))
        await told.let_go("0", "1", "2")
        seen.append(len(told.started))
        await told.let_go("3")
        return [*seen, len(told.started)]

    assert run(story) == [0, 2, 4, 4, 4, 5]


def test_what_waits_for_an_engine_without_places_is_refused_in_time(monkeypatch):
    monkeypatch.setattr(scheduler, "WAIT_SECONDS", 0.02)

    async def story(told):
        with pytest.raises(Busy):
            await told.request("tune", "w", Kind.TUNE, "a", exclusive=True)
        return told.started

    assert run(story, Places(tunes=0)) == []


def test_past_the_bound_the_newcomer_is_refused_with_a_time_to_retry(monkeypatch):
    monkeypatch.setattr(scheduler, "MAX_WAITING", 3)

    async def story(told):
        for number in range(4):
            told.request(f"{number}", "w")
        await told.settled()
        with pytest.raises(Busy) as refusal:
            await told.request("one too many", "w")
        return refusal.value

    refusal = run(story, ONE_WORKER)
    assert refusal.retry_after_seconds == 2
    assert "nothing was done" in refusal.message


def test_fine_tunes_that_wait_in_their_hundreds_leave_answers_their_places_to_wait(monkeypatch):
    monkeypatch.setattr(scheduler, "MAX_WAITING", 3)

    async def story(told):
        for number in range(4):
            told.request(f"tune {number}", f"w{number}", Kind.TUNE, f"a{number}", exclusive=True)
        for number in range(4):
            told.request(f"answer {number}", f"w{number}")
        await told.settled()
        with pytest.raises(Busy):
            await told.request("one fine-tune too many", "w", Kind.TUNE, "b", exclusive=True)
        seen = told.subject.load()
        await told.let_go("answer 0", "answer 1", "answer 2", "answer 3")
        return seen, [name for name in told.started if "answer" in name], told.subject.load()

    assert run(story, ONE_WORKER) == ((2, 6), [f"answer {number}" for number in range(4)], (1, 3))


def test_when_all_places_are_taken_the_greediest_gives_one_up(monkeypatch):
    monkeypatch.setattr(scheduler, "MAX_WAITING", 6)

    async def story(told):
        greedy = [told.request(f"greedy {number}", "greedy") for number in range(7)]
        await told.settled()
        learners = [told.request(f"learner {number}", f"learner {number}") for number in range(4)]
        await told.settled()
        refused = [task for task in greedy if task.done()]
        assert all(isinstance(task.exception(), Busy) for task in refused)
        return len(refused), refused == greedy[3:], any(task.done() for task in learners)

    assert run(story, ONE_WORKER) == (4, True, False)


def test_who_waits_too_long_is_refused(monkeypatch):
    monkeypatch.setattr(scheduler, "WAIT_SECONDS", 0.02)

    async def story(told):
        told.request("long", "w")
        with pytest.raises(Busy):
            await told.request("waits", "x")
        await told.let_go("long")
        return told.started

    assert run(story, ONE_WORKER) == ["long"]


def test_one_who_gives_up_waiting_leaves_the_queue_and_holds_up_no_one():
    async def story(told):
        told.request("complete", "w", adapter="a")
        tune = told.request("tune", "w", Kind.TUNE, "a", exclusive=True)
        told.request("after", "w", adapter="a")
        await told.settled()
        tune.cancel()
        await told.settled()
        return told.started, tune.cancelled()

    assert run(story) == (["complete", "after"], True)


def test_a_cancelled_caller_keeps_its_turn_until_the_work_was_told_and_has_ended():
    async def story(told):
        caller = told.request("tune", "w", Kind.TUNE, "a", exclusive=True, stubborn=True)
        told.request("after", "w", adapter="a")
        await told.settled()
        caller.cancel()
        await told.settled()
        held = not caller.done() and told.started == ["tune"]
        await told.let_go("tune")
        return held, told.given_up, caller.cancelled(), told.started

    assert run(story) == (True, ["tune"], True, ["tune", "after"])


def test_cancelled_and_started_at_once_loses_no_worker():
    async def story(told):
        first, second = told.request("first", "w"), told.request("second", "x")
        await told.settled()
        told._gates["first"].set()
        while not first.done():
            await asyncio.sleep(0)
        second.cancel()
        await asyncio.gather(second, return_exceptions=True)
        told.request("third", "y")
        await told.settled()
        return "third" in told.started

    assert run(story, ONE_WORKER) is True


def test_an_exception_of_the_work_reaches_the_caller_and_frees_the_worker():
    async def story(told):
        broken = told.request("broken", "w", raising=OSError(28, "No space left on device"))
        await told.settled()
        await told.let_go("broken")
        with pytest.raises(OSError, match="No space"):
            await broken
        told.request("next", "w")
        await told.settled()
        return told.started

    assert run(story, ONE_WORKER) == ["broken", "next"]


def shield_of_python_3_14(job: asyncio.Future) -> asyncio.Future:
    """`asyncio.shield` as it is from Python 3.14 on: once its caller is cancelled, it logs what the job raises."""
    outer = ORIGINAL_SHIELD(job)

    def log(job: asyncio.Future) -> None:
        if outer.cancelled() and not job.cancelled() and job.exception():
            job.get_loop().call_exception_handler({"message": "exception in shielded future", "future": job})

    job.add_done_callback(log)
    return outer


def test_what_the_work_of_a_cancelled_caller_raises_is_told_to_no_one(monkeypatch):
    """A client that hangs up ends its call; the service's log is no place for a traceback of that."""
    monkeypatch.setattr(asyncio, "shield", shield_of_python_3_14)

    async def story(told):
        logged = []
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: logged.append(context["message"]))

        gone = ConnectionError("no one waits any more")
        caller = told.request("tune", "w", Kind.TUNE, "a", exclusive=True, raising=gone)
        await told.settled()
        caller.cancel()
        await asyncio.gather(caller, return_exceptions=True)
        await told.settled()
        gc.collect()  # which is when an exception that no one has asked for is logged
        return caller.cancelled(), logged

    assert run(story) == (True, [])


def test_what_is_done_takes_no_memory():
    async def story(told):
        task = told.request("a", "w", adapter="a")
        await told.settled()
        await told.let_go("a")
        await task
        return told.subject._requests

    assert run(story) == {}
