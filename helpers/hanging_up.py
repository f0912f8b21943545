"""Requests that end when no one waits for them any more: their connection is closed, and the service stops answering.

`sdk.py` gives its clients these connections; `llm.py` and `embeddings.py` make many calls at once here, and of what was
cancelled, interrupted or failed no other goes on.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TypeVar

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection

if TYPE_CHECKING:
    from urllib3 import PoolManager

Asked = TypeVar("Asked")
Result = TypeVar("Result")


class HungUp(Exception):
    """Raised in the thread of a call that no one waits for. urllib3 does not know it, so it tries nothing again."""


class Call:
    """Work with requests in it, which another thread may end."""

    def __init__(self) -> None:
        self._over = threading.Event()
        self._connection: _Ending | None = None

    def run(self, work: Callable[..., Result], *arguments: Any) -> Result:
        """Does the work in the thread that calls this.

        Raises:
            HungUp: no one waits for it any more; whatever the work raises.
        """
        before = _current.set(self)
        try:
            self.check()
            return work(*arguments)
        finally:
            self._connection = None
            _current.reset(before)

    def hang_up(self) -> None:
        """Ends the request that runs, and those that would follow it."""
        self._over.set()
        connection = self._connection
        if connection is not None and connection.call is self:  # it may be another's by now
            sock = connection.sock
            if sock is not None:  # else it is not connected yet
                with contextlib.suppress(OSError):  # closed already
                    sock.shutdown(socket.SHUT_RDWR)  # what reads from it in its own thread ends

    def check(self) -> None:
        """Raises HungUp once that is so."""
        if self._over.is_set():
            raise HungUp

    def use(self, connection: _Ending) -> None:
        """Told the connection of each request."""
        self._connection = connection
        self.check()

    def pause(self, seconds: float) -> None:
        """Waits, and raises HungUp as soon as that is so."""
        self._over.wait(seconds)
        self.check()


_current: ContextVar[Call | None] = ContextVar("current call", default=None)


class _Ending(HTTPConnection):
    """A connection that its call can end."""

    call: Call | None = None

    def request(self, *arguments: Any, **options: Any) -> None:
        self.call = _current.get()
        if self.call is not None:
            self.call.use(self)
        super().request(*arguments, **options)

    def getresponse(self, *arguments: Any, **options: Any) -> Any:
        if self.call is not None:
            self.call.check()  # it may have been ended while this connected
        return super().getresponse(*arguments, **options)


class _EndingHttps(_Ending, HTTPSConnection):
    pass


class _HttpPool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Ending


class _HttpsPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _EndingHttps


def all_of(work: Callable[[Asked], Result], asked: Sequence[Asked], most: int) -> list[Result]:
    """What work with requests in it makes of each of several, in their order.

    Args:
        work: done in threads, unless there is only one thing to do.
        asked: what to do it with.
        most: how many at once.

    Raises:
        Whatever the first of them raises that fails; the others are then ended.
    """
    if len(asked) == 1:
        return [work(asked[0])]
    calls = [Call() for _ in asked]
    with ThreadPoolExecutor(most) as pool:
        try:
            running = [pool.submit(call.run, work, one) for call, one in zip(calls, asked, strict=True)]
            return [one.result() for one in running]
        finally:
            for call in calls:  # one has failed, or the cell was interrupted: no one waits for the others
                call.hang_up()


async def aall_of(work: Callable[[Asked], Result], asked: Sequence[Asked], most: int) -> list[Result]:
    """As `all_of`; when it is cancelled, all are ended.

    Args:
        work, asked, most: as for `all_of`.
    """
    room = asyncio.Semaphore(most)

    async def one(what: Asked) -> Result:
        async with room:
            call = Call()
            try:
                return await asyncio.to_thread(call.run, work, what)
            finally:
                call.hang_up()

    running = [asyncio.ensure_future(one(what)) for what in asked]
    try:
        return list(await asyncio.gather(*running))
    finally:
        for task in running:  # of those that still run no one waits for the answer
            task.cancel()


def pause(seconds: float) -> None:
    """Waits between two requests, and no longer than anyone waits for the call.

    Raises:
        HungUp: no one does any more.
    """
    call = _current.get()
    if call is None:
        time.sleep(seconds)
    else:
        call.pause(seconds)


def install_in(manager: PoolManager) -> None:
    """Makes a client's connections such that calls can end them."""
    manager.pool_classes_by_scheme = {"http": _HttpPool, "https": _HttpsPool}
