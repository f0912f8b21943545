"""Raw HTTP for tests: what no well-behaved client would send, with a limit on every wait."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
from urllib.parse import urlsplit

from helpers.service.catalog import CLASSIC_MODELS
from tests.conftest import TOKEN, WORKSPACE

SECONDS = 10  # a service that has not answered by then hangs
BASE_ID = CLASSIC_MODELS[2][0]
HEADERS = {"Authorization": f"Bearer {TOKEN}", "x-gradient-workspace-id": WORKSPACE, "Content-Type": "application/json"}
THEIRS = {**HEADERS, "x-gradient-workspace-id": "another_workspace"}


def call(server, method: str, path: str, body=None, headers=HEADERS, seconds: float = SECONDS):
    """Status, parsed body and headers of a raw call; a body that is no dict or list is sent as it is."""
    raw = json.dumps(body) if isinstance(body, (dict, list)) else body
    status, answer, got = fetch(server, method, path, raw, headers, seconds)
    return status, json.loads(answer), got


def fetch(server, method: str, path: str, body=None, headers=HEADERS, seconds: float = SECONDS):
    """Status, bytes and headers of a raw call."""
    address = urlsplit(server.url)
    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=seconds)
    with contextlib.closing(connection):
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        return response.status, response.read(), response.headers


def send_bytes(server, sent: bytes, wait: float = SECONDS) -> bytes:
    """What a server says to bytes that need not be HTTP, until it hangs up or falls silent for `wait` seconds."""
    address = urlsplit(server.url)
    received = b""
    with socket.create_connection((address.hostname, address.port), timeout=wait) as connection:
        connection.sendall(sent)
        with contextlib.suppress(socket.timeout, ConnectionResetError):
            while piece := connection.recv(65536):
                received += piece
    return received


def request_bytes(method: str, path: str, body: bytes = b"", length: int | None = None, **headers: str) -> bytes:
    """A request as bytes, whose Content-Length may lie."""
    given = {"Host": "127.0.0.1", **HEADERS, "Content-Length": str(len(body) if length is None else length), **headers}
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in given.items()), "", ""]
    return "\r\n".join(lines).encode("latin-1") + body
