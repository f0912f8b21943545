"""The routes of a room, outside of the Gradient API: learners' kernels say how many exercises are done, and who runs
the service resets a workspace.

Made by `app.py`; `helpers.exercises` and `launcher.py` are the clients.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Request

from ...environment import WORKSPACE_ID
from ..learners import LessonDone
from . import schemas
from .disconnect import while_connected
from .envelope import EnvelopeResponse
from .guard import PROGRESS_PATH, WORKSPACES_PATH, workspace_of
from .status import Status


def room_routes(status: Status) -> APIRouter:
    """The calls of a room.

    Args:
        status: where the calls are.
    """
    room = APIRouter(responses=schemas.REFUSED)

    @room.post(PROGRESS_PATH)
    def progress(request: Request, body: schemas.ProgressBody) -> EnvelopeResponse:
        """Keeps how far a workspace is in each lesson, instead of what it said before."""
        lessons = [LessonDone(one.lesson, one.done, one.there) for one in body.lessons]
        status.ready.learners.report(workspace_of(request), lessons)
        return EnvelopeResponse({})

    @room.delete(WORKSPACES_PATH + "/{workspace}", include_in_schema=False)  # the page is for those who learn
    async def reset(request: Request, workspace: Annotated[str, Path(pattern=f"^{WORKSPACE_ID}$")]) -> EnvelopeResponse:
        """Deletes all that a workspace has, for who has the token of the service's own address file."""
        await while_connected(request, status.ready.reset(workspace))
        return EnvelopeResponse({})

    return room
