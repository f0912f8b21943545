"""No one in who does not belong, and nobody in each other's way: tokens, workspaces, names, sizes, patience."""

from __future__ import annotations

import asyncio
import json
import secrets
import socket
import threading
import time
import uuid
from datetime import datetime, timezone
from urllib.parse import urlsplit

import pytest

from helpers.environment import LOCAL_TOKEN_VARIABLE
from helpers.service import __main__ as program
from helpers.service import catalog, launcher, logs
from helpers.service import server as serving
from helpers.service.http import guard
from helpers.service.refusals import UnknownAdapter
from helpers.service.store import Adapter, Store
from tests.conftest import TOKEN, WORKSPACE, ended_cleanly, file_mode
from tests.stub.server import ThreadedServer
from tests.support.fake_engine import FakeEngine
from tests.support.http_call import BASE_ID, HEADERS, THEIRS, call, fetch, request_bytes, send_bytes
from tests.support.waiting import wait_until

COMPLETE = f"/api/models/{BASE_ID}/complete"
CALLS = [
    ("GET", "", None),
    ("DELETE", "", None),
    ("POST", "/complete", {"query": "q"}),
    ("POST", "/complete", {"query": "q", "guidance": {"type": "choice", "value": ["a"]}}),
    ("POST", "/fine-tune", {"samples": [{"inputs": "x"}]}),
    ("POST", "/complete", {"query": ""}),
    ("PATCH", "", None),
]


@pytest.fixture
def room(tmp_path):
    """A service that takes calls under any name, as one with `--host 0.0.0.0` does."""
    (tmp_path / "room").mkdir()
    running = ThreadedServer(FakeEngine(), tmp_path / "room", TOKEN, any_host=True).start()
    yield running
    running.stop()


# --- tokens


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.20", "classroom.example", "", "127.0.0.1.example"])
def test_an_address_that_others_reach_gets_a_token_said_once_and_when_it_holds(host, capsys, monkeypatch):
    monkeypatch.delenv(LOCAL_TOKEN_VARIABLE, raising=False)
    options = program._parse(["--host", host])
    program._settle_token(options)
    assert len(options.token) >= 32
    assert capsys.readouterr().err == ""
    serving._say_ready(options, "http://x/api", [])
    assert capsys.readouterr().err.count(options.token) == 1


@pytest.mark.parametrize("fault", ["held folder", "taken port", "no model"])
def test_a_start_that_fails_says_no_token(tmp_path, capsys, monkeypatch, fault):
    monkeypatch.delenv(LOCAL_TOKEN_VARIABLE, raising=False)
    monkeypatch.setattr(logs, "configure", lambda *_: None)
    made = []
    monkeypatch.setattr(secrets, "token_urlsafe", lambda *_: made.append("a-token-that-is-said-to-no-one") or made[0])
    monkeypatch.setattr(serving, "make_calls", lambda *_: 1 / 0)
    monkeypatch.setattr(serving, "end_cleanly_on_signals", lambda _: None)
    (tmp_path / "another").mkdir()
    taken = socket.create_server(("0.0.0.0", 0))
    port = taken.getsockname()[1] if fault == "taken port" else 0
    with taken, launcher.only_one(tmp_path if fault == "held folder" else tmp_path / "another"):
        assert program.main(["--host", "0.0.0.0", "--port", str(port), "--data-dir", str(tmp_path), "--quiet"]) == 1
    assert made
    said = capsys.readouterr()
    assert "failed" in said.err
    assert made[0] not in said.out + said.err


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_this_machines_own_address_needs_no_token(host, capsys, monkeypatch):
    monkeypatch.delenv(LOCAL_TOKEN_VARIABLE, raising=False)
    options = program._parse(["--host", host])
    program._settle_token(options)
    serving._say_ready(options, "http://x/api", [])
    assert (options.token, capsys.readouterr().err) == (None, "")


def test_generated_tokens_differ_and_a_given_one_is_kept_unsaid(capsys, monkeypatch):
    monkeypatch.delenv(LOCAL_TOKEN_VARIABLE, raising=False)
    made = set()
    for _ in range(3):
        options = program._parse(["--host", "0.0.0.0"])
        program._settle_token(options)
        made.add(options.token)
    assert len(made) == 3
    capsys.readouterr()
    options = program._parse(["--host", "0.0.0.0", "--token", TOKEN])
    program._settle_token(options)
    serving._say_ready(options, "http://x/api", [])
    assert (options.token, TOKEN in capsys.readouterr().err) == (TOKEN, False)


@pytest.mark.parametrize("token", ["short", "with a space in it", "caf\xe9-caf\xe9-caf\xe9", "new\nline-new-line"])
def test_a_token_that_can_not_be_sent_is_refused_without_saying_it(token, capsys):
    with pytest.raises(SystemExit) as end:
        program._parse(["--token", token])
    assert (end.value.code, token in capsys.readouterr().err) == (2, False)


def test_a_room_demands_the_token_it_printed_once_and_keeps_it_private(start_service, tmp_path, monkeypatch):
    monkeypatch.delenv(LOCAL_TOKEN_VARIABLE, raising=False)
    service = start_service(tmp_path / "room", "--host", "0.0.0.0", module="tests.support.fake_service", token=None)
    token = service.log().split('token="')[1].split('"')[0]
    right = {**HEADERS, "Authorization": f"Bearer {token}", "Host": "classroom.example:8080"}
    assert call(service, "GET", "/api/models")[0] == 401
    assert call(service, "GET", "/metrics", headers={})[0] == 401
    assert call(service, "GET", "/api/models", headers=right)[0] == 200
    assert launcher.find(service.data).token == token
    assert file_mode(service.data / launcher.ADDRESS_FILE) == file_mode(service.data / logs.LOG_FILE) == 0o600
    assert ended_cleanly(service.stop())
    assert service.log().count(token) == 1
    assert token not in (service.data / logs.LOG_FILE).read_text()
    assert not any(token in file.read_text("latin-1") for file in service.data.rglob("*") if file.is_file())


def test_tokens_are_compared_in_constant_time(server, monkeypatch):
    compared, compare = [], secrets.compare_digest
    monkeypatch.setattr(secrets, "compare_digest", lambda *pair: compared.append(pair) or compare(*pair))
    assert call(server, "GET", "/api/models", headers={**HEADERS, "Authorization": "Bearer wrong"})[0] == 401
    assert compared == [(b"wrong", TOKEN.encode())]


def test_what_is_nearly_the_token_is_not_it(server):
    for given in ("caf\xe9", "\xff" * 40, TOKEN + "\xa0", TOKEN[:-1], TOKEN + "x", TOKEN.upper()):
        headers = {**HEADERS, "Authorization": f"Bearer {given}"}
        assert call(server, "GET", "/api/models", headers=headers)[0] == 401, given


# --- workspaces


def test_another_workspaces_adapter_is_answered_as_one_that_never_was(server, base):
    adapter = base.create_model_adapter(name="mine")
    adapter.fine_tune(samples=[{"inputs": "a secret"}])
    never = f"{uuid.uuid4()}_model_adapter"
    for method, path, body in CALLS:
        found, missing = (
            fetch(server, method, f"/api/models/{id_}{path}", body and json.dumps(body), THEIRS)
            for id_ in (adapter.id, never)
        )
        assert found[0] == missing[0]
        assert found[0] in (400, 404)
        assert found[1].replace(adapter.id.encode(), b"ID") == missing[1].replace(never.encode(), b"ID")
        assert [name for name in found[2] if name != "date"] == [name for name in missing[2] if name != "date"]
    _, listed, _ = call(server, "GET", "/api/models", headers=THEIRS)
    assert [model["type"] for model in listed["models"]] == ["baseModel"] * len(catalog.ALL_MODELS)
    assert adapter.complete(query="q").generated_output == "a secret"


def test_another_workspace_does_not_even_wait_for_an_adapter(server, engine, base):
    """An answer that comes only when the owner's fine-tune has ended would tell that there is one."""
    adapter = base.create_model_adapter(name="mine")
    engine.tune_seconds = 0.6
    work = threading.Thread(target=adapter.fine_tune, kwargs={"samples": [{"inputs": "x"}]})
    work.start()
    wait_until(lambda: engine.tunings)
    for method, path, body in CALLS:
        assert call(server, method, f"/api/models/{adapter.id}{path}", body, THEIRS)[0] in (400, 404)
    assert work.is_alive()
    work.join(10)


def test_the_workspace_that_is_checked_is_the_one_that_is_used(server, base):
    """Of two such headers, one must not be checked and the other used."""
    base.create_model_adapter(name="mine")
    for first, second in [(WORKSPACE, "../x y"), ("../x y", WORKSPACE)]:
        request = request_bytes("GET", "/api/models", Connection="close").replace(
            f"x-gradient-workspace-id: {WORKSPACE}".encode(),
            f"x-gradient-workspace-id: {first}\r\nx-gradient-workspace-id: {second}".encode(),
        )
        answer = send_bytes(server, request)
        accepted = answer.startswith(b"HTTP/1.1 200")
        assert accepted == (first == WORKSPACE)
        assert (b"mine" in answer) == accepted


# --- ids and paths


def test_ids_are_all_of_a_uuid4_from_the_systems_random_source(monkeypatch):
    monkeypatch.setattr("os.urandom", lambda count: bytes(range(count)))
    expected = uuid.UUID(bytes=bytes(range(16)), version=4)
    assert catalog.new_adapter_id() == f"{expected}_model_adapter"
    assert catalog.is_adapter_id(catalog.new_adapter_id())


ODD_IDS = [
    "..",
    ".",
    "..%2F..%2F..",
    "%2e%2e%2f" * 5,
    "%00",
    "a%00b",
    "%2F" * 16 + "ab",  # 50 characters
    "../" * 12 + "_model_adapter",  # 50 too
    f"{uuid.uuid4()}_model_adapter%0a",
    f"{uuid.uuid4()}_model_adapter%00",
    f"{str(uuid.uuid4()).upper()}_model_adapter",
    "%EF%BC%90" * 36 + "_model_adapter",  # digits that are no ASCII
    "..%5C..%5Cservice.json",
    "C:%5CWindows",
    "%",
    "%zz",
    "%ff%fe",
    "a" * 3000,
]


def test_what_is_no_id_is_unknown_and_touches_no_file(server, tmp_path):
    before = sorted(tmp_path.rglob("*"))
    for id_ in ODD_IDS:
        for method, path, body in CALLS:
            status, answer, _ = call(server, method, f"/api/models/{id_}{path}", body)
            assert (status in (400, 404), answer["message"].isprintable()) == (True, True), id_
    assert sorted(tmp_path.rglob("*")) == before


def test_an_id_of_another_form_never_becomes_a_path_even_if_the_database_has_it(server):
    store: Store = server.status.calls._store
    for id_ in ("..", "../../elsewhere", "/elsewhere", "a\0b"):
        store.add(Adapter(id_, WORKSPACE, "n", BASE_ID, 8, 0.002, 1, datetime.now(timezone.utc)))
        with pytest.raises(UnknownAdapter, match="no model adapter"):
            server.status.calls.adapter(WORKSPACE, id_)


# --- web pages: no cross-origin access, no foreign names


@pytest.mark.parametrize("method", ["GET", "OPTIONS", "POST"])
def test_no_web_page_is_given_access(server, method):
    page = {
        **HEADERS,
        "Origin": "https://example.com",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization",
        "Access-Control-Request-Private-Network": "true",
    }
    for path in ("/api/models", "/health", "/metrics", "/docs", "/openapi.json", "/nothing"):
        status, _, headers = fetch(server, method, path, headers=page)
        assert not [name for name in headers if name.lower().startswith("access-control")]
        assert method != "OPTIONS" or status >= 400


FOREIGN = [
    "example.com",
    "127.0.0.1.example.com",
    "localhost.example.com",
    "192.168.1.20:8080",
    "",
    "[",
    "0.0.0.0",
    "a b",
]


@pytest.mark.parametrize("host", FOREIGN)
def test_a_service_on_loopback_answers_under_its_own_names_only(server, host):
    for path in ("/api/models", "/health", "/metrics", "/openapi.json"):
        status, answer, _ = call(server, "GET", path, headers={**HEADERS, "Host": host})
        assert (status, "localhost" in answer["message"]) == (403, True)


def test_every_name_of_this_machine_will_do(server):
    for host in ("127.0.0.1", "localhost:1234", "LOCALHOST", "[::1]:8080", "127.3.2.1"):
        assert call(server, "GET", "/api/models", headers={**HEADERS, "Host": host})[0] == 200, host


def test_a_room_answers_under_every_name(room):
    for host in FOREIGN:
        for path, status in [("/api/models", 200), ("/health", 200), ("/api/nothing", 404), ("/nothing", 404)]:
            assert call(room, "GET", path, headers={**HEADERS, "Host": host})[0] == status, host


# --- sizes and patience


def test_headers_that_are_too_long_are_refused_with_a_sentence(server):
    for headers, path in [({**HEADERS, "X-Long": "x" * 20_000}, "/api/models"), (HEADERS, "/health?" + "x" * 20_000)]:
        status, answer, _ = call(server, "GET", path, headers=headers)
        assert (status, str(guard.MAX_HEADER_BYTES) in answer["message"]) == (431, True)


def test_headers_without_end_are_cut_off(server):
    endless = b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n" + b"X-A: b\r\n" * 60_000
    with socket.create_connection(("127.0.0.1", urlsplit(server.url).port), timeout=5) as connection:
        received = b""
        try:
            connection.sendall(endless)
            received = connection.recv(65536)
        except (ConnectionResetError, BrokenPipeError):
            pass
    assert received[:12] in (b"", b"HTTP/1.1 400")
    assert call(server, "GET", "/health")[0] == 200


BODY = b'{"query": "q"}'


def test_a_length_that_is_none_is_refused(server):
    for length in ("-1", "x", "1e3", "14, 15", ""):
        answer = send_bytes(server, request_bytes("POST", COMPLETE, BODY, **{"Content-Length": length}))
        assert answer.startswith(b"HTTP/1.1 400"), length


def test_a_body_longer_than_it_says_is_no_second_request_of_anyone(server):
    answer = send_bytes(server, request_bytes("POST", COMPLETE, BODY + b"GET /api/models", length=len(BODY)), wait=0.3)
    assert answer.startswith(b"HTTP/1.1 200")
    assert b"echo: q" in answer
    assert answer.count(b"HTTP/1.1 200") == 1


@pytest.mark.parametrize("kind", ["nothing", "too little", "drop by drop", "chunks without end"])
def test_a_body_that_does_not_come_is_given_up_and_holds_no_one_up(server, monkeypatch, kind):
    monkeypatch.setattr(guard, "BODY_SECONDS", 0.25)
    head = request_bytes("POST", COMPLETE, length=100)
    if kind == "chunks without end":
        head = head.replace(b"Content-Length: 100", b"Transfer-Encoding: chunked")
    started, answer = time.monotonic(), b""
    with socket.create_connection(("127.0.0.1", urlsplit(server.url).port), timeout=5) as connection:
        connection.sendall(head + (BODY if kind == "too little" else b""))
        assert call(server, "POST", COMPLETE, {"query": "next"})[0] == 200
        connection.settimeout(0.05)
        while time.monotonic() - started < 5:
            try:
                if kind == "drop by drop":
                    connection.sendall(b" ")
                elif kind == "chunks without end":
                    connection.sendall(b"1\r\n \r\n")
                piece = connection.recv(65536)
                answer += piece
                if not piece:
                    break
            except TimeoutError:
                pass
            except (ConnectionResetError, BrokenPipeError):
                break
    assert answer.startswith(b"HTTP/1.1 408")
    assert b"had not arrived" in answer
    assert 0.2 < time.monotonic() - started < 3


def test_the_limit_ends_with_the_body_and_not_with_the_answer(monkeypatch):
    """A route may go on waiting for its client to leave for as long as its work takes."""
    monkeypatch.setattr(guard, "BODY_SECONDS", 0.05)

    async def receive():
        if messages:
            return messages.pop()
        await asyncio.sleep(0.1)
        return {"type": "http.disconnect"}

    async def both():
        limited = guard._limited(receive)
        return [await limited(), await limited()]

    messages = [{"type": "http.request", "body": b"{}", "more_body": False}]
    assert [message["type"] for message in asyncio.run(both())] == ["http.request", "http.disconnect"]


def test_a_large_body_without_the_token_is_not_read(server):
    head = request_bytes("POST", COMPLETE, length=guard.MAX_BODY_BYTES * 100, Authorization="Bearer wrong-token")
    assert send_bytes(server, head, wait=0.3).startswith(b"HTTP/1.1 401")


def test_a_web_socket_is_not_opened(server):
    headers = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": "x" * 22 + "==",
        "Origin": "http://x",
    }
    assert send_bytes(server, request_bytes("GET", "/api/models", **headers), wait=0.3).startswith(b"HTTP/1.1 200")
