"""The one error envelope of the API: which status and type each kind of refusal has, and how it looks as a response.

`app.py` and `guard.py` answer refusals through `error_response`; what only HTTP can get wrong (a header, a path, a
body) they raise as `HttpRefusal`.
"""

from __future__ import annotations

import json
from typing import Any

from starlette.responses import JSONResponse

from .. import refusals

NO_ANSWER = 499  # what proxies log for a client that left before its answer

# The status, and the error type that clients of the Gradient API know.
ANSWERS: dict[type[refusals.Refusal], tuple[int, str]] = {
    refusals.UnknownBaseModel: (404, "unknownBaseModel"),
    refusals.UnknownAdapter: (404, "unknownModelAdapter"),
    refusals.UnknownEmbeddingsModel: (404, "failed"),
    refusals.SlugForId: (404, "unknownBaseModel"),
    refusals.NotAnAdapter: (400, "unknownModelAdapter"),
    refusals.TooManyAdapters: (409, "unprocessableContent"),
    refusals.UnknownCollection: (404, "unknownRagCollection"),
    refusals.UnknownFile: (404, "unprocessableContent"),
    refusals.UnreadableFile: (400, "unprocessableContent"),
    refusals.NoDocuments: (400, "noRagDocumentsFound"),
    refusals.NoText: (400, "unprocessableContent"),
    refusals.NeedsTemplate: (400, "ragRequiresAutoTemplating"),
    refusals.TooManyPassages: (409, "unprocessableContent"),
    refusals.TooMuchKept: (409, "unprocessableContent"),
    refusals.NoRoom: (409, "unprocessableContent"),
    refusals.OtherWeights: (409, "unprocessableContent"),
    refusals.NotTuned: (409, "unprocessableContent"),
    refusals.TooLong: (400, "unprocessableContent"),
    refusals.NothingToLearn: (400, "unprocessableContent"),
    refusals.LossRanAway: (400, "nanLoss"),
    refusals.Busy: (503, "failed"),
    refusals.TookTooLong: (503, "failed"),
    refusals.Failed: (500, "failed"),
    refusals.NotServed: (501, "failed"),
    refusals.CallerGone: (NO_ANSWER, "failed"),
}


class HttpRefusal(refusals.Refusal):
    """A refusal of what was sent, before any call was made of it.

    Args:
        status: HTTP status code.
        message: one sentence that says what was wrong and what to do.
        type: one of the error types that clients of the Gradient API know, or None.
        payload: machine-readable detail, or None.
        headers: further HTTP headers.
    """

    def __init__(
        self,
        status: int,
        message: str,
        type: str | None = None,
        payload: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.type = type
        self.payload = payload
        self.headers = headers or {}


class EnvelopeResponse(JSONResponse):
    """JSON in ASCII, so that no text a caller sent (a lone surrogate, say) can break the answer."""

    def render(self, content: Any) -> bytes:
        """The body: ASCII alone, so that no proxy can misread it."""
        return json.dumps(content, allow_nan=False).encode("ascii")


def error_response(refusal: refusals.Refusal) -> EnvelopeResponse:
    """A refusal as a response: `{"message", "type", "payload"}`, without what is absent, as the hosted service did."""
    if isinstance(refusal, HttpRefusal):
        status, type_, payload, headers = refusal.status, refusal.type, refusal.payload, refusal.headers
    else:
        status, type_ = ANSWERS[type(refusal)]
        payload, headers = None, _headers(refusal)
    fields = {"message": refusal.message, "type": type_, "payload": payload}
    body = {name: value for name, value in fields.items() if value is not None}
    return EnvelopeResponse(body, status_code=status, headers=headers)


def _headers(refusal: refusals.Refusal) -> dict[str, str]:
    return {"Retry-After": str(refusal.retry_after_seconds)} if isinstance(refusal, refusals.Busy) else {}
