"""Who runs when: completions of an adapter run together, a fine-tune or deletion of it runs alone, in order of arrival.

Other adapters are not held up. Engine calls block, so each runs on a worker thread while the event loop serves HTTP.
Called by `operations.py`, always on the event loop, so that the bookkeeping here needs no locks.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import TypeVar

from . import errors

Result = TypeVar("Result")

WORKERS = 16  # more than the decoder's slots, so that a fine-tune that waits its turn leaves room for answers
MAX_WAITING = 256  # requests that may wait for a worker or for an adapter


class Turns:
    """A first-come, first-served lock with shared and exclusive holders."""

    def __init__(self) -> None:
        self._shared = 0
        self._exclusive = False
        self._waiting: deque[tuple[bool, asyncio.Future[None]]] = deque()

    @property
    def idle(self) -> bool:
        """Whether no one holds it or waits for it."""
        return not (self._shared or self._exclusive or self._waiting)

    @property
    def waiting(self) -> int:
        """How many wait for it."""
        return len(self._waiting)

    async def acquire(self, exclusive: bool) -> None:
        """Waits for a turn; those who came earlier go first."""
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append((exclusive, turn))
        self._admit()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # admitted and cancelled at once
                self.release(exclusive)
            else:
                self._waiting.remove((exclusive, turn))
                self._admit()
            raise

    def release(self, exclusive: bool) -> None:
        """Gives the turn back."""
        if exclusive:
            self._exclusive = False
        else:
            self._shared -= 1
        self._admit()

    def _admit(self) -> None:
        while self._waiting and not self._exclusive:
            exclusive, turn = self._waiting[0]
            if exclusive and self._shared:
                return
            self._waiting.popleft()
            if exclusive:
                self._exclusive = True
            else:
                self._shared += 1
            turn.set_result(None)


class Scheduler:
    """Runs blocking work on threads, in turns per adapter."""

    def __init__(self) -> None:
        self._workers = ThreadPoolExecutor(WORKERS, thread_name_prefix="engine")
        self._turns: dict[str, Turns] = {}
        self._busy = 0

    def load(self) -> tuple[int, int]:
        """How many requests run, and how many wait for a worker or an adapter; any thread may ask."""
        running = min(self._busy, WORKERS)
        return running, self._busy - running + sum(turns.waiting for turns in list(self._turns.values()))

    @asynccontextmanager
    async def turn(self, key: str, exclusive: bool) -> AsyncIterator[None]:
        """Holds an adapter's turn for the length of the block.

        Args:
            key: the adapter's id.
            exclusive: whether the block changes the adapter.
        """
        turns = self._turns.setdefault(key, Turns())
        try:
            await turns.acquire(exclusive)
            try:
                yield
            finally:
                turns.release(exclusive)
        finally:
            if turns.idle:
                self._turns.pop(key, None)

    async def run(self, work: Callable[[], Result]) -> Result:
        """Runs blocking work on a thread and waits for it, even when the caller is cancelled: the adapter's turn must
        not end before the work on it has.

        Raises:
            ServiceError: too much is waiting already.
        """
        if self._busy >= WORKERS + MAX_WAITING:
            raise errors.busy(f"The service has {self._busy} requests to do already: try again in a moment.")
        self._busy += 1
        job = asyncio.get_running_loop().run_in_executor(self._workers, work)
        cancelled = False
        try:
            while not job.done():
                try:
                    await asyncio.shield(job)
                except asyncio.CancelledError:
                    cancelled = True
            if cancelled:
                raise asyncio.CancelledError
            return job.result()
        finally:
            self._busy -= 1

    def close(self) -> None:
        """Takes no more work."""
        self._workers.shutdown(wait=False, cancel_futures=True)
