"""What stands before and after every call: who may call, how much they may send and for how long; one line in the log,
one count in the metrics, and the error envelope for whatever no one foresaw.

`app.py` puts `Guard` around its routes.
"""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
import sqlite3
import time
from collections.abc import Callable
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ...environment import WORKSPACE_ID, WORKSPACE_RULE, is_loopback
from .. import logs, refusals
from .envelope import NO_ANSWER, HttpRefusal, error_response
from .metrics import Metrics
from .status import Status

MAX_BODY_BYTES = 8_000_000
MAX_HEADER_BYTES = 16_384  # of the request line and the headers together
BODY_SECONDS = 60  # from a request's headers to the end of its body; the largest body then needs 1 Mbit/s
WORKSPACE_HEADER = "x-gradient-workspace-id"
REQUEST_ID_HEADER = "x-request-id"
METRICS_PATH = "/metrics"
HEALTH_PATH = "/health"
EXPORT_PATH = "/export"
TOKENS_PATH = "/tokens"
NEXT_TOKENS_PATH = "/next-tokens"
PROGRESS_PATH = "/progress"
WORKSPACES_PATH = "/workspaces"

_REQUEST_ID = re.compile(r"[A-Za-z0-9_.:-]{1,64}")


class Guard:
    """Lets in the calls that may pass, and answers, logs and counts all of them.

    Args:
        app: what answers the calls that pass.
        status: what the service is doing.
        token: the access token that every API call must bring; None accepts any.
        any_host: take calls under any name. A service on loopback must not: a web page whose name its owner points at
            127.0.0.1 would be allowed by the browser to read its answers.
        metrics: where to count.
    """

    def __init__(self, app: ASGIApp, status: Status, token: str | None, any_host: bool, metrics: Metrics) -> None:
        self._app = app
        self._status = status
        self._token = token
        self._any_host = any_host
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request: it passes, or is refused here."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        started = time.perf_counter()
        headers = Headers(scope=scope)
        request_id = _request_id(headers)
        noted: dict[str, object] = {"request": request_id, "workspace": _workspace(headers)}
        scope.setdefault("state", {})["noted"] = noted  # where a route adds what its line in the log should say
        sending = _Sending(
            send, request_id, lambda status: self._note(scope, noted, status, time.perf_counter() - started)
        )
        try:
            self._check(scope, headers)
            await self._app(scope, _limited(receive), sending)
        except refusals.Refusal as refusal:
            await error_response(refusal)(scope, receive, sending)
        except Exception as error:  # noqa: BLE001 - no stack trace may leave the service
            await error_response(_crash(error, request_id))(scope, receive, sending)
        finally:
            sending.end()  # if there was no answer

    def _check(self, scope: Scope, headers: Headers) -> None:
        """Refuses, before the body is read, what must not pass."""
        _check_size(scope)
        if not self._any_host and not _is_loopback_name(headers.get("host", "")):
            raise HttpRefusal(
                403,
                "This service answers on its own machine only, under the name 127.0.0.1 or localhost: use one of these "
                "in GRADIENT_API_URL, or start it with --host to serve others.",
            )
        if scope["path"] == METRICS_PATH and self._token is not None:
            self._check_token(headers, self._token)
        if scope["path"].startswith(WORKSPACES_PATH):
            self._check_token(headers, self._status.operator)
            _ = self._status.ready  # or is refused
        if scope["path"].startswith(("/api", EXPORT_PATH, TOKENS_PATH, NEXT_TOKENS_PATH, PROGRESS_PATH)):
            self._status.last_request = time.monotonic()
            self._check_token(headers, self._token)
            workspace = self._check_workspace(headers)
            ready = self._status.ready  # or is refused
            if scope["path"].startswith("/api"):
                ready.learners.called(workspace)

    def _check_token(self, headers: Headers, token: str | None) -> None:
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not given:
            raise HttpRefusal(
                401, "The access token is missing: send the header 'Authorization: Bearer <GRADIENT_ACCESS_TOKEN>'."
            )
        if token is not None and not secrets.compare_digest(given.encode(), token.encode()):
            raise HttpRefusal(
                401, "The access token is not the one of this service: check GRADIENT_ACCESS_TOKEN, or call connect()."
            )

    def _check_workspace(self, headers: Headers) -> str:
        workspace = _workspace(headers)
        if workspace is None:
            raise HttpRefusal(
                400,
                f"The header {WORKSPACE_HEADER} is missing or not a workspace id ({WORKSPACE_RULE}): send the value of "
                "GRADIENT_WORKSPACE_ID.",
                "queryOrPathParsingError",
            )
        return workspace

    def _note(self, scope: Scope, noted: dict[str, object], status: int, seconds: float) -> None:
        self._metrics.answered(_call_name(scope), status, seconds)
        level = logging.DEBUG if scope["path"] == HEALTH_PATH else logging.INFO  # a starting kernel asks 10 a second
        said = {"method": scope["method"], "path": scope["path"], "status": status, "ms": f"{seconds * 1000:.0f}"}
        logs.event("request", level, **noted, **said)


class _Sending:
    """Sends a response with its request's id, and says once how it ended.

    Args:
        send: where to.
        request_id: the id.
        ended: told the status.
    """

    def __init__(self, send: Send, request_id: str, ended: Callable[[int], None]) -> None:
        self._send = send
        self._header = (REQUEST_ID_HEADER.encode(), request_id.encode())
        self._ended: Callable[[int], None] | None = ended
        self._status = NO_ANSWER

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            message["headers"] = [*message["headers"], self._header]
        elif not message.get("more_body", False):
            self.end()  # before the last byte leaves, so that who has the answer finds it logged
        await self._send(message)

    def end(self) -> None:
        """Says how it ended, if that has not been said."""
        if self._ended is not None:
            self._ended(self._status)
            self._ended = None


def _call_name(scope: Scope) -> str:
    """The method and the route's template; "other" for what is no call, whose method and path are the caller's own."""
    route = scope.get("route")
    path = getattr(route, "path", "")
    if scope["method"] not in (getattr(route, "methods", None) or ()) or "{path:path}" in path:
        return "other"
    return f"{scope['method']} {path}"


def _request_id(headers: Headers) -> str:
    """The caller's, if it is a short token, else a new one."""
    given = headers.get(REQUEST_ID_HEADER, "")
    return given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(8)


def _workspace(headers: Headers) -> str | None:
    given = headers.get(WORKSPACE_HEADER, "")
    return given if re.fullmatch(WORKSPACE_ID, given) else None


def _check_size(scope: Scope) -> None:
    size = len(scope.get("raw_path") or b"") + len(scope["query_string"])
    size += sum(len(name) + len(value) for name, value in scope["headers"])
    if size > MAX_HEADER_BYTES:
        raise HttpRefusal(
            431, f"The address and the headers have {size} bytes and may have {MAX_HEADER_BYTES}: send shorter ones."
        )


def workspace_of(request: Request) -> str:
    """The workspace that a request which has passed is for."""
    return request.headers[WORKSPACE_HEADER]


def _is_loopback_name(host: str) -> bool:
    """Whether a Host header names this machine as only this machine itself would."""
    try:
        return is_loopback(urlsplit(f"//{host}").hostname or "")
    except ValueError:
        return False


def _limited(receive: Receive) -> Receive:
    """The same stream of a request's body, ended with a refusal when it grows too large or takes too long."""
    total, complete = 0, False
    deadline = time.monotonic() + BODY_SECONDS

    async def limited() -> Message:
        nonlocal total, complete
        if complete:  # what comes now is that the client has left, whenever it does
            return await receive()
        try:
            message = await asyncio.wait_for(receive(), deadline - time.monotonic())
        except asyncio.TimeoutError:
            raise HTTPException(408) from None
        total += len(message.get("body", b""))
        if total > MAX_BODY_BYTES:
            raise HTTPException(413)
        complete = not message.get("more_body", False)
        return message

    return limited


def _crash(error: Exception, request_id: str) -> refusals.Failed:
    disk = isinstance(error, OSError) and not isinstance(error, (ConnectionError, TimeoutError))
    if disk or isinstance(error, sqlite3.Error):
        reason = getattr(error, "strerror", None) or str(error)
        logs.event("disk", logging.ERROR, error, request=request_id, reason=reason)
        return refusals.Failed(
            f"The service could not read or write its data ({reason}); nothing was changed. Make room or set its "
            "permissions right, then try again."
        )
    logs.event("crash", logging.ERROR, error, request=request_id)
    return refusals.Failed(
        f"The service failed on this request; its log says where, under {request_id}. Other requests are unaffected."
    )
