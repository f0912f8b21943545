"""The routes by which an adapter and its base model leave the service as files: no calls of the Gradient API.

Only names that the engine offers are served, from wherever they lie; no part of a path is ever taken from a request.
Made by `app.py`; `helpers.export` is the client.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any, BinaryIO, TypeVar

from fastapi import APIRouter, Query, Request
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from .. import refusals
from ..calls import Export
from . import schemas
from .envelope import HttpRefusal
from .guard import workspace_of
from .status import Status

BLOCK_BYTES = 1 << 20
TRIES = 3  # of fine-tunes that replace an adapter's files just then, one after another

Result = TypeVar("Result")


class OpenFileResponse(StreamingResponse):
    """An open file, block by block; it is closed whatever happens.

    It is open before the answer begins, so that a fine-tune which replaces it meanwhile does no harm.
    """

    media_type = "application/octet-stream"

    def __init__(self, file: BinaryIO) -> None:
        length = file.seek(0, io.SEEK_END)
        file.seek(0)
        super().__init__(iter(partial(file.read, BLOCK_BYTES), b""), headers={"Content-Length": str(length)})
        self._file = file

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends the file, and closes it however that ends."""
        with self._file:
            await super().__call__(scope, receive, send)


_FILE: dict[int | str, dict[str, Any]] = {
    200: {"content": {OpenFileResponse.media_type: {}}, "description": "The file"}
}


def export_routes(status: Status) -> APIRouter:
    """What is served below `/export`.

    Args:
        status: where the calls are.
    """
    export = APIRouter(responses=schemas.REFUSED)

    @export.get("/adapters/{model_id}", response_model=schemas.ExportResponse)
    def list_files(
        request: Request, model_id: str, with_base: Annotated[bool, Query(alias="withBase")] = False
    ) -> schemas.ExportResponse:
        workspace = workspace_of(request)
        return _again(lambda: _response(status.ready.export(workspace, model_id, with_base)))

    @export.get("/adapters/{model_id}/{file}", responses=_FILE)
    def adapter_file(request: Request, model_id: str, file: str) -> OpenFileResponse:
        workspace = workspace_of(request)
        return _again(lambda: OpenFileResponse(_opened(status.ready.export(workspace, model_id).files, file)))

    @export.get("/base/{file}", responses=_FILE)
    def base_file(file: str) -> OpenFileResponse:
        return OpenFileResponse(_opened(status.ready.base_files(), file))

    @export.api_route("/{path:path}", methods=["GET", "POST", "PUT", "PATCH", "DELETE"], include_in_schema=False)
    def no_such_call(request: Request, path: str) -> None:
        called = f"{request.method} /export/{refusals.quoted(path)[1:-1]}"
        raise HttpRefusal(404, f"There is no call {called}: GET /docs lists those there are.")

    return export


def _again(work: Callable[[], Result]) -> Result:
    """What reads an adapter's files, tried again when a fine-tune has just replaced them."""
    for _ in range(TRIES - 1):
        try:
            return work()
        except FileNotFoundError:
            continue
    return work()


def _opened(files: Mapping[str, Path | bytes], name: str) -> BinaryIO:
    if name not in files:
        there = ", ".join(files) or "none"
        raise HttpRefusal(404, f"There is no file {refusals.quoted(name)} to hand over; those there are: {there}.")
    found = files[name]
    return io.BytesIO(found) if isinstance(found, bytes) else found.open("rb")


def _response(export: Export) -> schemas.ExportResponse:
    weights = export.weights
    return schemas.ExportResponse(
        id=export.adapter.id,
        name=export.adapter.name,
        base_name=export.base_name,
        weights_name=weights.name if weights else None,
        weights_sha256=weights.sha256 if weights else None,
        files=_sizes(export.files),
        base_files=_sizes(export.base_files),
    )


def _sizes(files: Mapping[str, Path | bytes]) -> list[schemas.ExportedFile]:
    return [
        schemas.ExportedFile(name=name, bytes=len(file) if isinstance(file, bytes) else file.stat().st_size)
        for name, file in files.items()
    ]
