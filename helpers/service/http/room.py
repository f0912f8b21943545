"""The routes of a room, outside of the Gradient API: learners' kernels say how many exercises are done.

Made by `app.py`; `helpers.exercises` is the client.
"""

from __future__ import annotations

from fastapi import APIRouter, Request

from ..learners import LessonDone
from . import schemas
from .envelope import EnvelopeResponse
from .guard import PROGRESS_PATH, workspace_of
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

    return room
