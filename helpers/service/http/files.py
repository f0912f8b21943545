"""The route that takes files: `POST /files`, as multipart/form-data. Made by `app.py`; `collections.py` in the folder
above keeps what comes."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter, Request, UploadFile

from .. import refusals
from . import schemas
from .guard import workspace_of
from .status import Status


def file_routes(status: Status) -> APIRouter:
    """The calls on files.

    Args:
        status: where the calls are.
    """
    files = APIRouter(responses=schemas.REFUSED)

    @files.post("/files", response_model=schemas.CreateResponse)
    def upload_file(
        request: Request, type: Literal["audioFile", "ragUserFile"], file: UploadFile
    ) -> schemas.CreateResponse:
        """Keeps a file, of at most 8 MB, for a collection: text, Markdown or PDF. No collection in a day, no file."""
        if type == "audioFile":
            raise refusals.NotServed("The local service does not transcribe, so it takes no audio.")
        file_id = status.ready.collections.upload(workspace_of(request), file.file.read())
        return schemas.CreateResponse(id=file_id)

    return files
