"""Ends a call's work when its client hangs up. Used by the routes that wait for the engine."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from fastapi import Request
from starlette.exceptions import HTTPException

from ..refusals import CallerGone

Result = TypeVar("Result")


async def while_connected(request: Request, work: Coroutine[Any, Any, Result]) -> Result:
    """Awaits work, and cancels it when the client has hung up meanwhile.

    Args:
        request: the request, its body read.
        work: what to do for it.

    Raises:
        CallerGone: the client has hung up; whatever the work raises.
    """
    job = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_hung_up(request))
    try:
        await asyncio.wait({job, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not job.done():
            job.cancel()
            await asyncio.wait({job})  # what runs has to end first
        if job.cancelled():
            raise CallerGone
        return job.result()
    finally:
        gone.cancel()
        job.cancel()


async def _hung_up(request: Request) -> None:
    """Returns once the client has gone; there is nothing else to receive after the body."""
    try:
        while (await request.receive())["type"] != "http.disconnect":
            pass
    except HTTPException:
        return  # it goes on sending without an end
