"""What a workspace may keep: a refusal before the work, in a sentence with what is used, and room after a deletion."""

from __future__ import annotations

import re

import pytest

from helpers.service import __main__ as program
from helpers.service.calls import Limits
from helpers.service.server import limits_of
from tests.service.test_collections import create, multipart, settled, upload
from tests.support.fake_engine import FakeEngine
from tests.support.http_call import BASE_ID, HEADERS, THEIRS, call

SAMPLES = {"samples": [{"inputs": "x"}]}


@pytest.fixture
def limited(server, tmp_path):
    """Gives the server another limit of bytes."""

    def limit(bytes: int):
        server.use(FakeEngine(), tmp_path / "data", Limits(bytes=bytes))
        return server

    return limit


def new(server, headers=HEADERS) -> tuple[int, dict]:
    return call(server, "POST", "/api/models", {"model": {"name": "a", "baseModelId": BASE_ID}}, headers)[:2]


def tune(server, adapter: str, headers=HEADERS) -> tuple[int, dict]:
    return call(server, "POST", f"/api/models/{adapter}/fine-tune", SAMPLES, headers)[:2]


def test_a_full_workspace_is_refused_before_the_work_and_has_room_after_a_deletion(limited):
    server = limited(bytes=1)
    first, second = (new(server)[1]["id"] for _ in range(2))
    assert tune(server, first)[0] == 200
    status, answer = tune(server, second)
    assert status == 409
    assert re.match(r"This workspace keeps [\d.]+ MB of the 0 MB that it may: delete adapters \(", answer["message"])
    assert server.status.calls.adapter(HEADERS["x-gradient-workspace-id"], second).version == 0
    assert tune(server, first)[0] == 200  # takes the place of what there is
    assert tune(server, new(server, THEIRS)[1]["id"], THEIRS)[0] == 200
    assert call(server, "DELETE", f"/api/models/{first}")[0] == 200
    assert tune(server, second)[0] == 200


def test_files_and_what_collections_make_of_them_count(limited):
    server = limited(bytes=20_000)
    collection = create(server, (upload(server, b"word " * 2000), "a.txt"))
    assert settled(server, collection)[0]["status"] == "succeeded"
    body, sent = multipart(b"word " * 2000)
    status, answer, _ = call(server, "POST", "/api/files?type=ragUserFile", body, {**HEADERS, **sent})
    assert status == 409
    assert "MB were to come: delete adapters" in answer["message"]
    body = {"name": "c", "slug": "bge-large", "files": []}
    assert call(server, "POST", "/api/rag-collections", body)[0] == 409  # the vectors alone are more than the limit
    assert tune(server, new(server)[1]["id"])[0] == 409
    assert call(server, "DELETE", f"/api/rag-collections/{collection}")[0] == 200
    assert call(server, "POST", "/api/rag-collections", body)[0] == 200
    upload(server, b"word " * 2000)


def test_the_command_sets_the_limits_and_has_sensible_ones():
    assert limits_of(program._parse([])) == Limits(100, 2_000_000_000)
    assert limits_of(program._parse(["--max-adapters", "5", "--max-megabytes", "60"])) == Limits(5, 60_000_000)
    with pytest.raises(SystemExit):
        program._parse(["--max-megabytes", "much"])
