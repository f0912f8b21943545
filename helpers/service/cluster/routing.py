"""Which workers there are, what each is doing, and which of them a call goes to.

An adapter's calls go to the worker that is first for it by rendezvous hashing, which most likely has it warm already:
https://en.wikipedia.org/wiki/Rendezvous_hashing. When a worker comes or goes, only the adapters that it is first for
change theirs. If that one has no place free, or the call needs no adapter, the least busy takes it.

`engine.py` asks for a worker, `on_ray.py` says who has come and who has gone. Methods may be called from any thread.
"""

from __future__ import annotations

import contextlib
import hashlib
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Protocol

from ..engine import Load, Places
from ..refusals import Busy, CallerGone, Failed
from ..weights_identity import WeightsIdentity

WAIT_SECONDS = 60  # for a worker to be there; a process that died is replaced in ten or less
AGAIN_SECONDS = 10
LOOK_SECONDS = 0.1  # how often who waits looks whether its caller is still there


class Work(Enum):
    """What a call keeps busy: a worker's decoder (and embedder), or one of its tuners."""

    COMPLETE = "complete"
    TUNE = "tune"


class WorkerGone(Exception):
    """Raised when a worker ended, or no longer answers, before it had answered a call; its text says why."""


class WorkerHandle(Protocol):
    """A worker as the service sees it: `on_ray.py` has those on Ray, the tests have threads.

    Attributes:
        name: tells it from others, in the log and when adapters are shared out.
    """

    name: str

    def ask(self, method: str, *arguments: Any, given_up: threading.Event) -> Any:
        """What a method of `worker.Worker` answers; once `given_up` is set the worker is told so.

        Raises:
            WorkerGone: the worker ended before it had answered.
            Refusal: whatever the worker refuses.
        """

    def tell(self, method: str) -> None:
        """Calls a method without waiting for it; a worker that has gone hears nothing."""


@dataclass(frozen=True)
class About:
    """What a worker is and does.

    Attributes:
        version: of this kit.
        weights: those that it runs.
        places: how much it does at once.
        load: how it shares its machine.
        doing: what it gets ready beside its work, and how much of that is done, 0 to 1.
        host: its machine's name.
        process: its process's id.
    """

    version: str
    weights: WeightsIdentity | None
    places: Places
    load: Load | None
    doing: tuple[str, float] | None
    host: str
    process: int


@dataclass(eq=False)
class _Member:
    """A worker, what it last said of itself, and how much of what it is doing now."""

    worker: WorkerHandle
    about: About
    running: Counter[Work] = field(default_factory=Counter)

    def is_free_for(self, work: Work) -> bool:
        most = self.about.places.tunes if work is Work.TUNE else self.about.places.completions
        return self.running[work] < most

    def burden(self, work: Work) -> tuple[int, int, str]:
        """The least busy has the smallest; the name makes it one."""
        return self.running[work], self.running.total(), self.worker.name


class Router:
    """The workers there are.

    Attributes:
        broken: why there will never be one again, for people; None as long as there may be.
        why_none: why there is none now, if there is none, for people.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._members: dict[WorkerHandle, _Member] = {}
        self._last = Places()
        self.why_none = "none has started yet"
        self.broken: str | None = None

    def join(self, worker: WorkerHandle, about: About) -> bool:
        """Takes a worker in, or notes what it says of itself now; returns whether it is new."""
        with self._changed:
            is_new = worker not in self._members
            self._members.setdefault(worker, _Member(worker, about)).about = about
            self._last = about.places
            self._changed.notify_all()
            return is_new

    def leave(self, worker: WorkerHandle, reason: str) -> None:
        """Gives a worker, if it is there, no more calls."""
        with self._changed:
            self._members.pop(worker, None)
            self.why_none = reason

    @property
    def workers(self) -> list[WorkerHandle]:
        """Those there are now."""
        with self._changed:
            return list(self._members)

    @property
    def abouts(self) -> list[About]:
        """What they last said of themselves."""
        with self._changed:
            return [member.about for member in self._members.values()]

    @property
    def places(self) -> Places:
        """How much all do at once. While none is there, as much as one did: so that those who ask come here, wait for
        one, and are told if none comes."""
        with self._changed:
            every = [member.about.places for member in self._members.values()] or [self._last]
            return Places(sum(one.completions for one in every), sum(one.tunes for one in every))

    @contextlib.contextmanager
    def worker(self, work: Work, key: str | None, given_up: threading.Event) -> Iterator[WorkerHandle]:
        """The worker for a call, which counts as busy with it until the block ends.

        Args:
            work: what it keeps busy.
            key: tells the call's adapter from others; None for a call that needs none.
            given_up: ends the wait for a worker once it is set.

        Raises:
            Busy: no worker was there for WAIT_SECONDS.
            Failed: there will never be one again.
            CallerGone: it was given up.
        """
        with self._changed:
            self._wait_for_one(given_up)
            member = self._chosen(work, key)
            member.running[work] += 1
        try:
            yield member.worker
        finally:
            with self._changed:
                member.running[work] -= 1

    def _wait_for_one(self, given_up: threading.Event) -> None:
        deadline = time.monotonic() + WAIT_SECONDS
        while self.broken or not self._members:
            if self.broken:
                raise Failed(self.broken)
            if given_up.is_set():
                raise CallerGone
            if time.monotonic() > deadline:
                raise Busy(
                    f"The service has no worker at the moment ({self.why_none}), and nothing was done: try again in a "
                    "moment; whoever runs the service sees by `ray status` which machines are there.",
                    AGAIN_SECONDS,
                )
            self._changed.wait(LOOK_SECONDS)

    def _chosen(self, work: Work, key: str | None) -> _Member:
        every = list(self._members.values())
        if key is not None:
            first = max(every, key=lambda member: _score(member.worker.name, key))
            if first.is_free_for(work):
                return first
        return min(every, key=lambda member: member.burden(work))


def _score(name: str, key: str) -> bytes:
    """How much a worker is the one for an adapter."""
    return hashlib.sha256(f"{name} {key}".encode()).digest()
