"""`reset WORKSPACE` deletes what one workspace has and nothing of another, with a service that runs and without one."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from helpers.service import __main__ as program
from helpers.service import commands, launcher, overview
from helpers.service.http.guard import PROGRESS_PATH, WORKSPACES_PATH
from helpers.service.overview import Workspace
from tests.conftest import WORKSPACE
from tests.service.test_collections import create, settled, upload
from tests.support.fake_engine import FakeEngine
from tests.support.http_call import BASE_ID, HEADERS, call
from tests.support.waiting import wait_until

ADA = {**HEADERS, "x-gradient-workspace-id": "ada"}


def fill(service, headers) -> None:
    """Gives a workspace one of everything."""
    body = {"model": {"name": "mine", "baseModelId": BASE_ID}}
    adapter = call(service, "POST", "/api/models", body, headers)[1]["id"]
    tuned = call(service, "POST", f"/api/models/{adapter}/fine-tune", {"samples": [{"inputs": "x"}]}, headers)
    assert tuned[0] == 200
    settled(service, create(service, (upload(service, headers=headers), "a.txt"), headers=headers), headers)
    upload(service, headers=headers)
    report = {"lessons": [{"lesson": 1, "done": 2, "there": 5}]}
    assert call(service, "POST", PROGRESS_PATH, report, headers)[0] == 200


def without_calls(data) -> dict[str, tuple]:
    def shape(one: Workspace) -> tuple:
        return one.adapters, one.collections, one.files, one.bytes, one.learner.lessons

    return {one.name: shape(one) for one in overview.workspaces(data)}


@pytest.mark.parametrize("running", [True, False])
def test_all_of_one_workspace_goes_and_nothing_of_another(start_service, tmp_path, capsys, running):
    service = start_service(tmp_path / "room", module="tests.support.fake_service")
    for headers in (ADA, HEADERS):
        fill(service, headers)
    before = without_calls(service.data)
    assert before["ada"][:3] == (1, 1, 2)
    if not running:
        service.stop()
    assert program.main(["reset", "--yes", "ada", "--data-dir", str(service.data)]) == commands.DONE
    said = capsys.readouterr().out
    assert "Workspace ada has 1 adapter, 1 collection, 2 uploaded files (" in said
    assert "2 exercises done" in said
    assert without_calls(service.data) == {WORKSPACE: before[WORKSPACE]}
    assert len(list((service.data / "adapters").iterdir())) == 1
    if running:
        assert len(call(service, "GET", "/api/models", headers=HEADERS)[1]["models"]) == 1 + len(
            call(service, "GET", "/api/models", headers=ADA)[1]["models"]
        )


def test_nothing_is_deleted_before_someone_says_yes(server, tmp_path, monkeypatch, capsys):
    fill(server, ADA)
    server.use(FakeEngine(), tmp_path / "data")
    for answer in ("", "n", "what", EOFError(), KeyboardInterrupt()):

        def ask(_: str, answer=answer) -> str:
            if isinstance(answer, BaseException):
                raise answer
            return answer

        monkeypatch.setattr("builtins.input", ask)
        assert commands.reset(tmp_path / "data", "ada", yes=False) == commands.NOT_YET
    assert capsys.readouterr().out.count("Nothing was deleted") == 5
    assert without_calls(tmp_path / "data")["ada"][:3] == (1, 1, 2)
    monkeypatch.setattr("builtins.input", lambda _: " Y ")
    assert commands.reset(tmp_path / "data", "ada", yes=False) == commands.DONE


def test_a_workspace_that_there_is_not_names_those_there_are(server, tmp_path, capsys):
    assert commands.reset(tmp_path / "data", "ada", yes=True) == commands.NOTHING_THERE
    fill(server, HEADERS)
    server.use(FakeEngine(), tmp_path / "data")
    assert commands.reset(tmp_path / "data", "../ada\n", yes=True) == commands.NOTHING_THERE
    first, second = capsys.readouterr().out.splitlines()
    assert first.endswith("nor any other.")
    assert "'../ada\\n'" in second
    assert second.endswith(f"there are {WORKSPACE}.")


@pytest.mark.parametrize("arguments", [["reset"], ["status", "ada"], ["stop", "ada"]])
def test_a_workspace_goes_with_reset_alone(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        program.main(arguments)
    assert (ended.value.code, "reset takes the id of a workspace" in capsys.readouterr().err) == (2, True)


def test_no_learner_can_reset_a_workspace(server):
    fill(server, ADA)
    for headers in (ADA, HEADERS, {}, {**ADA, "Authorization": "Bearer "}):
        assert call(server, "DELETE", f"{WORKSPACES_PATH}/ada", headers=headers)[0] == 401
    assert len(call(server, "GET", "/api/models", headers=ADA)[1]["models"]) > len(
        call(server, "GET", "/api/models", headers=HEADERS)[1]["models"]
    )


def test_the_operators_token_is_in_the_private_file_alone(start_service, tmp_path):
    service = start_service(tmp_path / "room", module="tests.support.fake_service")
    found = launcher.find(service.data)
    assert len(found.operator) > 30
    assert found.operator not in repr(found) + service.log()
    call(service, "DELETE", f"{WORKSPACES_PATH}/x", headers={"Authorization": f"Bearer {found.operator}"})
    files = [file for file in service.data.rglob("*") if file.is_file() and file.name != launcher.ADDRESS_FILE]
    assert not any(found.operator in file.read_text("latin-1") for file in files)
    models = {**HEADERS, "Authorization": f"Bearer {found.operator}"}
    assert call(service, "GET", "/api/models", headers=models)[0] == 401


def test_a_fine_tune_that_runs_ends_first_and_leaves_nothing(server, engine, tmp_path):
    fill(server, ADA)
    adapter = call(server, "GET", "/api/models", headers=ADA)[1]["models"][-1]["id"]
    engine.tune_seconds = 0.4
    body = {"samples": [{"inputs": "x"}]}
    tuning = threading.Thread(target=call, args=(server, "POST", f"/api/models/{adapter}/fine-tune", body, ADA))
    tuning.start()
    wait_until(lambda: len(engine.tunings) == 2)
    headers = {"Authorization": f"Bearer {server.status.operator}"}
    assert call(server, "DELETE", f"{WORKSPACES_PATH}/ada", headers=headers)[0] == 200
    tuning.join(10)
    assert "ada" not in without_calls(tmp_path / "data")
    assert list((tmp_path / "data" / "adapters").iterdir()) == []


def test_a_service_that_does_not_answer_is_said_so(server, tmp_path, monkeypatch, capsys):
    fill(server, ADA)
    data = tmp_path / "data"
    launcher.write_address(data, replace(server.address, operator="a-wrong-one"))
    assert commands.reset(data, "ada", yes=True) == commands.NOT_YET
    assert "Not deleted, or not all of it: The access token" in capsys.readouterr().out
    with pytest.raises(launcher.LauncherError, match="does not answer"):
        launcher.reset(replace(server.address, url="http://127.0.0.1:1/api"), "ada")
