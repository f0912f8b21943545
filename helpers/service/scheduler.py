"""Who runs when: fairly by workspace, in order of arrival inside one, and an adapter's changes alone.

Every request, waiting or running, stands in its workspace's list. One may start when a worker of its kind is free and
no earlier request on the same adapter is in its way: completions of an adapter run together, a fine-tune or deletion of
it runs alone, other adapters are not held up. Of the workspaces with a request that may start, the one served longest
ago goes first, so that two hundred requests of one learner delay another's by one turn, not by two hundred. How many
workers there are for completions and fine-tunes the engine says; they may come and go while it runs.

Engine calls block, so each runs on a worker thread while the event loop serves HTTP. Called by `calls.py`, always
on the event loop, so that the bookkeeping here needs no locks.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import Enum
from typing import TypeVar

from .engine import Places
from .refusals import Busy

Result = TypeVar("Result")
Work = Callable[[threading.Event], Result]

MAX_WAITING = 256  # requests of a kind that may wait, of all workspaces together
WAIT_SECONDS = 300  # how long one may
LOOK_SECONDS = 1.0  # how soon a place that the engine has more than before is taken
MAX_THREADS = 4096  # only those are started that are needed at once: it is the engine's places that set the limit


class Kind(Enum):
    """A kind of work; `limits` says how much of each is done at once."""

    COMPLETE = "complete"
    TUNE = "tune"
    EMBED = "embed"
    READ = "read"


def limits(places: Places) -> dict[Kind, tuple[int, int]]:
    """How many of each kind run at once, and how many of one workspace.

    COMPLETE: a workspace may take three quarters of what is computed side by side, or another would wait until the
        longest of its answers has ended.
    TUNE: all tuners but one, for the same reason, as far as there are several.
    EMBED: one computes with all cores; another of the same workspace waits.
    READ: each reads an uploaded file, which for a PDF is a process of its own.

    Args:
        places: those that the engine has now; half of the ones for completions are computed side by side.
    """
    return {
        Kind.COMPLETE: (places.completions, max(1, places.completions * 3 // 8)),
        Kind.TUNE: (places.tunes, max(1, places.tunes - 1)),
        Kind.EMBED: (2, 1),
        Kind.READ: (3, 1),
    }


@dataclass(eq=False)
class _Request:
    """A request in its workspace's list. Its turn is done when it starts, is refused, or its caller has gone."""

    kind: Kind
    adapter: str | None
    exclusive: bool
    turn: asyncio.Future[None]
    started: bool = False

    @property
    def waiting(self) -> bool:
        return not self.turn.done()


class Scheduler:
    """Runs blocking work on threads.

    Args:
        places: how much the engine works on at once, now. Where there are fewer than before, what runs goes on.
    """

    def __init__(self, places: Callable[[], Places] = Places) -> None:
        self._places = places
        self._look_again: asyncio.TimerHandle | None = None
        self._threads = ThreadPoolExecutor(MAX_THREADS, thread_name_prefix="engine")
        self._requests: dict[str, list[_Request]] = {}  # by workspace, the one served longest ago first
        self._waiting: dict[Kind, set[_Request]] = {kind: set() for kind in Kind}
        self._running = dict.fromkeys(Kind, 0)

    async def run(
        self, workspace: str, work: Work[Result], kind: Kind, adapter: str | None = None, exclusive: bool = False
    ) -> Result:
        """Runs blocking work in its turn.

        A caller that is cancelled while it waits leaves the list. One that is cancelled later waits for the work to
        end, because the adapter's turn must not end before; the work is told by its event that it may end early.

        Args:
            workspace: whose request it is.
            work: what to do, with an event that is set when no one waits for the result any more.
            kind: which workers do it.
            adapter: the adapter that it needs; None needs none.
            exclusive: whether it changes the adapter.

        Raises:
            Busy: too much is waiting, or it has waited too long. Nothing was done.
        """
        self._make_room(workspace, kind)
        loop = asyncio.get_running_loop()
        request = _Request(kind, adapter, exclusive, loop.create_future())
        requests = self._requests.setdefault(workspace, [])
        requests.append(request)
        self._waiting[kind].add(request)
        too_long = loop.call_later(WAIT_SECONDS, self._refuse, request)
        try:
            self._start_ready()
            await request.turn
            return await self._on_a_thread(work)
        finally:
            too_long.cancel()
            self._waiting[kind].discard(request)
            self._running[kind] -= request.started
            requests.remove(request)
            if not requests:
                del self._requests[workspace]
            self._start_ready()

    def load(self) -> tuple[int, int]:
        """How many requests run, and how many wait. It may be asked on any thread."""
        return sum(self._running.values()), sum(map(len, self._waiting.values()))

    def close(self) -> None:
        """Takes no more work."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _make_room(self, workspace: str, kind: Kind) -> None:
        """Refuses someone when too many wait for a kind: the latest of whoever has most waiting, the newcomer included.
        Fine-tunes that wait in their hundreds leave answers their own places to wait."""
        if len(self._waiting[kind]) < MAX_WAITING:
            return
        waiting = {name: [one for one in those if one in self._waiting[kind]] for name, those in self._requests.items()}
        greediest = max(waiting, key=lambda name: len(waiting[name]), default=workspace)
        if len(waiting.get(greediest, ())) <= len(waiting.get(workspace, ())) + 1:
            raise _busy()
        self._refuse(waiting[greediest][-1])

    def _refuse(self, request: _Request) -> None:
        self._waiting[request.kind].discard(request)
        if request.waiting:
            request.turn.set_exception(_busy())

    def _start_ready(self) -> None:
        for kind, (workers, share) in limits(self._places()).items():
            while self._running[kind] < workers and self._waiting[kind]:
                workspace, request = self._next(kind, share)
                if request is None:
                    break
                self._waiting[kind].remove(request)
                self._running[kind] += 1
                request.started = True
                request.turn.set_result(None)
                self._requests[workspace] = self._requests.pop(workspace)  # now it was served last
        self._look_again_later()

    def _look_again_later(self) -> None:
        """While something waits, more places may come without a request that begins or ends."""
        if self._look_again is None and any(self._waiting.values()):

            def look() -> None:
                self._look_again = None
                self._start_ready()

            self._look_again = asyncio.get_running_loop().call_later(LOOK_SECONDS, look)

    def _next(self, kind: Kind, share: int) -> tuple[str, _Request | None]:
        for workspace, requests in self._requests.items():
            if sum(one.started and one.kind is kind for one in requests) < share:
                request = _first_ready(requests, kind)
                if request is not None:
                    return workspace, request
        return "", None

    async def _on_a_thread(self, work: Work[Result]) -> Result:
        given_up = threading.Event()
        job = asyncio.get_running_loop().run_in_executor(self._threads, work, given_up)
        while not job.done():
            try:
                await asyncio.wait({job})  # not shield: from Python 3.14 on it logs what the work raises after all
            except asyncio.CancelledError:
                given_up.set()
        if given_up.is_set():
            with contextlib.suppress(BaseException):
                job.result()
            raise asyncio.CancelledError
        return job.result()


def _first_ready(requests: list[_Request], kind: Kind) -> _Request | None:
    """The earliest waiting request of a kind that no earlier one on the same adapter bars."""
    seen: set[str] = set()
    barred: set[str] = set()
    for request in requests:
        in_the_way = request.adapter in (seen if request.exclusive else barred)
        if request.waiting and request.kind is kind and not in_the_way:
            return request
        if request.adapter is not None:
            seen.add(request.adapter)
            if request.exclusive:
                barred.add(request.adapter)
    return None


def _busy() -> Busy:
    return Busy("The service has more requests than it can take, and nothing was done: try again in a moment.")
