"""A full disk, a read-only folder, a kill: what was answered holds, what was refused changed nothing."""

from __future__ import annotations

import errno
import json
import os
import sqlite3
import subprocess
import sys

import pytest

from helpers.service import store
from helpers.service.refusals import Failed
from helpers.service.store import Store
from tests.service.test_collections import multipart, settled, upload
from tests.support import crashing_collections
from tests.support.crashing_store import states
from tests.support.faults import Faults, failing, injected, watching
from tests.support.http_call import BASE_ID, call
from tests.support.waiting import wait_until


@pytest.fixture
def watched_server(server, engine, tmp_path):
    with watching():
        server.use(engine, tmp_path / "data")  # opened anew, so that its database is watched
        yield server


def create(server, name: str) -> str:
    status, answer, _ = call(server, "POST", "/api/models", {"model": {"name": name, "baseModelId": BASE_ID}})
    assert status == 200, answer
    return answer["id"]


def tune(server, adapter: str, text: str):
    return call(server, "POST", f"/api/models/{adapter}/fine-tune", {"samples": [{"inputs": text}]})


def found(server) -> dict[str, str]:
    """What every adapter of the workspace answers, by name."""
    status, answer, _ = call(server, "GET", "/api/models")
    assert status == 200, answer
    adapters = [model for model in answer["models"] if model["type"] == "modelAdapter"]
    answers = {}
    for model in adapters:
        status, answer, _ = call(server, "POST", f"/api/models/{model['id']}/complete", {"query": "?"})
        assert status == 200, answer
        answers[model["name"]] = answer["generatedOutput"]
    return answers


def a_call(server, kind: str, adapter: str):
    if kind == "create":
        return call(server, "POST", "/api/models", {"model": {"name": "new", "baseModelId": BASE_ID}})
    if kind == "delete":
        return call(server, "DELETE", f"/api/models/{adapter}")
    return tune(server, adapter, "after")


AFTER = {
    "create": {"mine": "before", "other": "safe", "new": "echo: ?"},
    "fine_tune": {"mine": "after", "other": "safe"},
    "delete": {"other": "safe"},
}
FAULTS = {
    "full once": (errno.ENOSPC, False),
    "full from then on": (errno.ENOSPC, True),
    "broken once": (errno.EIO, False),
    "forbidden from then on": (errno.EACCES, True),
}


@pytest.mark.parametrize(("code", "lasting"), FAULTS.values(), ids=FAULTS)
@pytest.mark.parametrize("kind", AFTER)
def test_a_disk_fault_at_any_operation_changes_nothing_and_is_told(
    watched_server, engine, tmp_path, kind, code, lasting
):
    """Strikes at the first, the second, … operation of a call, until the call gets by without coming to it."""
    server, before = watched_server, {"mine": "before", "other": "safe"}
    tune(server, create(server, "other"), "safe")
    refused, number = 0, 0
    while True:
        number += 1
        mine = create(server, "mine")
        tune(server, mine, "before")
        with injected(Faults(tmp_path / "data", number, failing(code), lasting)) as faults:
            status, answer, _ = a_call(server, kind, mine)
        expected = AFTER[kind] if status == 200 else before
        assert sorted(found(server)) == sorted(expected), faults.operations
        assert found(server) == expected, faults.operations
        if status != 200:
            refused += 1
            assert (status, answer["type"]) == (500, "failed"), answer
            assert "nothing was changed" in answer["message"]
            assert a_call(server, kind, mine)[0] == 200  # the fault is gone
            assert found(server) == AFTER[kind], faults.operations
        if number % 4 == 0 or not faults.struck:
            server.use(engine, tmp_path / "data")
            assert found(server) == AFTER[kind], faults.operations
            on_disk = {path.name for path in (tmp_path / "data" / "adapters").glob("*/*")}
            assert on_disk <= {"v1", "v2"}
        if not faults.struck:
            break
        for name in ("mine", "new"):
            remove(server, name)
    assert refused >= {"create": 2, "fine_tune": 12, "delete": 4}[kind]


def remove(server, name: str) -> None:
    for model in call(server, "GET", "/api/models")[1]["models"]:
        if model["name"] == name:
            assert call(server, "DELETE", f"/api/models/{model['id']}")[0] == 200


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a process that ends itself anywhere is made by a fork")
def test_a_kill_at_any_operation_loses_no_answered_call(tmp_path):
    output = subprocess.check_output([sys.executable, "-m", "tests.support.crashing_store", str(tmp_path)], text=True)
    ends = [json.loads(line) for line in output.splitlines()]
    passed = states()
    for end in ends:
        assert end["found"] in passed[end["answered"] : end["answered"] + 2], end
    assert ends[-1]["answered"] == len(passed) - 1  # the last one was not killed
    assert len(ends) > 60
    assert {"fsync", "os.rename", "sqlite commit", "sqlite UPDATE", "write"} <= {end["what"] for end in ends}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a process that ends itself anywhere is made by a fork")
def test_a_kill_at_any_operation_on_collections_loses_no_answered_call(tmp_path):
    output = subprocess.check_output(
        [sys.executable, "-m", "tests.support.crashing_collections", str(tmp_path)], text=True
    )
    ends = [json.loads(line) for line in output.splitlines()]
    passed = crashing_collections.states()
    for end in ends:
        assert end["found"] in passed[end["answered"] : end["answered"] + 2], end
    assert ends[-1]["answered"] == len(passed) - 1  # the last one was not killed
    assert len(ends) > 60
    assert {"sqlite commit", "sqlite INSERT", "sqlite UPDATE", "sqlite DELETE"} <= {end["what"] for end in ends}


def collections_of(server) -> dict[str, list[str]]:
    """The files of every collection, by name, once they are settled."""
    listed = call(server, "GET", "/api/rag-collections")[1]["ragCollections"]
    return {one["name"]: [file["status"] for file in settled(server, one["id"])] for one in listed}


@pytest.mark.parametrize(("code", "lasting"), FAULTS.values(), ids=FAULTS)
@pytest.mark.parametrize("kind", ["upload", "create", "add", "delete"])
def test_a_disk_fault_at_any_operation_on_collections_changes_nothing_and_is_told(
    watched_server, tmp_path, kind, code, lasting
):
    server, refused, number = watched_server, 0, 0
    before = {"theirs": ["succeeded"], "mine": ["succeeded"]}
    after = {
        "upload": before,
        "create": {**before, "new": ["succeeded"]},
        "add": {**before, "mine": ["succeeded"] * 2},
        "delete": {"theirs": ["succeeded"]},
    }[kind]
    add_collection(server, "theirs", upload(server))
    while True:
        number += 1
        mine, file = add_collection(server, "mine", upload(server))[1]["id"], upload(server)
        assert collections_of(server) == before
        act = {
            "upload": lambda: call(server, "POST", "/api/files?type=ragUserFile", *multipart(b"x")),
            "create": lambda file=file: add_collection(server, "new", file),
            "add": lambda mine=mine, file=file: call(
                server, "POST", f"/api/rag-collections/{mine}/files", {"files": [{"id": file, "name": "a"}]}
            ),
            "delete": lambda mine=mine: call(server, "DELETE", f"/api/rag-collections/{mine}"),
        }[kind]
        with injected(Faults(tmp_path / "data", number, failing(code), lasting)) as faults:
            status, answer, _ = act()
        if status != 200:
            refused += 1
            assert (status, "nothing was changed" in answer["message"]) == (500, True), answer
            assert collections_of(server) == before, faults.operations
            assert act()[0] == 200  # the fault is gone
        assert collections_of(server) == after, faults.operations
        if not faults.struck:
            break
        for one in call(server, "GET", "/api/rag-collections")[1]["ragCollections"]:
            if one["name"] != "theirs":
                assert call(server, "DELETE", f"/api/rag-collections/{one['id']}")[0] == 200
    assert refused >= 3


def test_an_ingestion_that_a_full_disk_has_stopped_goes_on_with_the_next_call(server, engine):
    database = server.status.calls.collections._store._database.connection
    engine.embed_seconds = 0.3
    mine = add_collection(server, "mine", upload(server))[1]["id"]
    database.execute("PRAGMA query_only = 1")
    wait_until(lambda: not server.status.calls.collections._ingestion.is_busy("test_workspace"))
    database.execute("PRAGMA query_only = 0")
    engine.embed_seconds = 0
    assert call(server, "GET", f"/api/rag-collections/{mine}")[1]["files"][0]["status"] == "pending"
    assert settled(server, mine)[0]["status"] == "succeeded"


def add_collection(server, name: str, file: str):
    body = {"name": name, "slug": "bge-large", "files": [{"id": file, "name": "a.txt"}]}
    return call(server, "POST", "/api/rag-collections", body)


def test_a_full_database_is_said_so_and_works_again_with_room(server, tmp_path):
    """SQLite's own refusal, not an injected one."""
    data = tmp_path / "data"
    database = server.status.calls._store._database.connection
    create(server, "first")
    pages = database.execute("PRAGMA page_count").fetchone()[0]
    database.execute(f"PRAGMA max_page_count = {pages}")
    for _ in range(100):
        status, answer, _ = call(server, "POST", "/api/models", {"model": {"name": "n" * 200, "baseModelId": BASE_ID}})
        if status != 200:
            break
    assert "database or disk is full" in answer["message"]
    database.execute("PRAGMA max_page_count = 1000000")
    create(server, "last")
    names = [adapter.name for adapter in Store(data).list("test_workspace")]
    assert (names[0], names[-1]) == ("first", "last")


def test_a_folder_turned_read_only_refuses_writes_and_goes_on_reading(server):
    adapter = create(server, "mine")
    tune(server, adapter, "before")
    database = server.status.calls._store._database.connection
    database.execute("PRAGMA query_only = 1")
    for kind in AFTER:
        status, answer, _ = a_call(server, kind, adapter)
        assert status == 500
        assert "readonly" in answer["message"]
        assert found(server) == {"mine": "before"}
    database.execute("PRAGMA query_only = 0")
    assert tune(server, adapter, "after")[0] == 200


def test_a_locked_database_is_waited_for_and_then_said_so(server, tmp_path, monkeypatch):
    adapter = create(server, "mine")
    server.status.calls._store._database.connection.execute("PRAGMA busy_timeout = 100")
    stranger = sqlite3.connect(tmp_path / "data" / "adapters.sqlite3")
    stranger.execute("BEGIN EXCLUSIVE")
    status, answer, _ = tune(server, adapter, "x")
    assert (status, "locked" in answer["message"]) == (500, True)
    stranger.rollback()
    stranger.close()
    assert tune(server, adapter, "y")[0] == 200


@pytest.mark.parametrize("fault", ["no folder", "no database", "not a database"])
def test_a_data_folder_that_can_not_be_used_is_said_in_one_sentence(tmp_path, monkeypatch, fault):
    data = tmp_path / "data"
    if fault == "no folder":
        data.write_text("")
    elif fault == "no database":
        (data / "adapters.sqlite3").mkdir(parents=True)
    else:
        data.mkdir()
        (data / "adapters.sqlite3").write_text("something else, and long enough to be no empty file" * 100)
    with pytest.raises(Failed, match="--data-dir") as refusal:
        Store(data)
    assert str(data) in str(refusal.value)


@pytest.mark.parametrize("number", range(1, 8))
def test_a_start_on_a_read_only_folder_is_refused_in_one_sentence(tmp_path, number):
    with watching(), injected(Faults(tmp_path, number, failing(errno.EACCES))) as faults:
        try:
            Store(tmp_path / "data").close()
        except Failed as refusal:
            assert "--data-dir" in str(refusal)
        else:
            assert faults.operations[number - 1] in ("os.rmdir", "os.remove", "open")
    Store(tmp_path / "data").close()


def test_the_database_outlives_a_power_cut_right_after_a_commit(tmp_path):
    """EXTRA is 3: the folder is synced after the journal has gone."""
    assert Store(tmp_path)._database.connection.execute("PRAGMA synchronous").fetchone() == (3,)


def test_every_folder_above_a_version_is_synced_before_its_row(tmp_path, monkeypatch):
    from tests.service.test_store import an_adapter, tuned

    subject, synced = Store(tmp_path), []
    monkeypatch.setattr(store, "_sync", synced.append)
    adapter = an_adapter()
    subject.add(adapter)
    tuned(subject, adapter, "one")
    names = [path.name for path in synced]
    assert names[0] == "weights"
    assert names[1].startswith("new-")
    assert names[2:] == [adapter.id, "adapters"]


def test_a_file_that_is_no_adapter_does_not_keep_the_service_from_starting(tmp_path):
    Store(tmp_path).close()
    (tmp_path / "adapters" / ".DS_Store").write_text("a file manager was here")
    Store(tmp_path).close()
    assert (tmp_path / "adapters" / ".DS_Store").exists()
