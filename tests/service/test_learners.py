"""What an instructor sees of a room: one row a workspace, numbers only, kept from start to start."""

from __future__ import annotations

import json
import sqlite3

import pytest
from gradientai import Gradient

from helpers import exercises, local_service
from helpers.exercises import done
from helpers.service import __main__ as program
from helpers.service import commands, learners, overview
from helpers.service.http.guard import PROGRESS_PATH
from helpers.service.learners import Learner, LessonDone
from tests.conftest import TOKEN, WORKSPACE
from tests.service.test_collections import create, settled, upload
from tests.support.fake_engine import FakeEngine
from tests.support.http_call import BASE_ID, HEADERS, call
from tests.support.waiting import wait_until

SECRET = "the prompt that no one else may read"


@pytest.fixture
def data(server, tmp_path):
    return tmp_path / "data"


def of(data, name: str) -> overview.Workspace:
    (found,) = [workspace for workspace in overview.workspaces(data) if workspace.name == name]
    return found


def calls_of(data, name: str) -> int:
    return sum(one.learner.calls for one in overview.workspaces(data) if one.name == name)


def test_each_workspace_is_a_row_with_what_it_has_and_has_done(server, data, base, monkeypatch):
    monkeypatch.setattr(learners, "WRITE_SECONDS", 0.01)
    adapter = base.create_model_adapter(name=SECRET)
    adapter.fine_tune(samples=[{"inputs": SECRET}])
    collection = create(server, (upload(server), "cheeses.txt"))
    settled(server, collection)
    wait_until(lambda: calls_of(data, WORKSPACE) > 4)
    mine = of(data, WORKSPACE)
    assert (mine.adapters, mine.collections, mine.files) == (1, 1, 1)
    written = sum(path.stat().st_size for path in (data / "adapters" / adapter.id).rglob("*") if path.is_file())
    assert mine.bytes > written + 1024 * 4  # a passage's vector, and the file
    assert mine.learner.last is not None


def test_calls_count_for_the_workspace_that_makes_them_and_those_that_are_refused_do_not(server, data, monkeypatch):
    monkeypatch.setattr(learners, "WRITE_SECONDS", 0.01)
    for workspace, times in (("ada", 3), ("ben", 1)):
        for _ in range(times):
            call(server, "GET", "/api/models", headers={**HEADERS, "x-gradient-workspace-id": workspace})
    wrong = {**HEADERS, "x-gradient-workspace-id": "eve", "Authorization": "Bearer a-wrong-token"}
    call(server, "GET", "/api/models", headers=wrong)
    call(server, "GET", "/health")
    wait_until(lambda: (calls_of(data, "ada"), calls_of(data, "ben")) == (3, 1))
    assert [workspace.name for workspace in overview.workspaces(data)] == ["ada", "ben"]


def test_what_was_counted_and_reported_is_there_after_a_restart(server, data):
    lessons = [{"lesson": 2, "done": 3, "there": 8}, {"lesson": 1, "done": 1, "there": 5}]
    assert call(server, "POST", PROGRESS_PATH, {"lessons": lessons})[0] == 200
    call(server, "GET", "/api/models")
    server.use(FakeEngine(), data)
    call(server, "GET", "/api/models")
    server.use(FakeEngine(), data)
    kept = of(data, WORKSPACE).learner
    assert (kept.calls, kept.lessons) == (2, (LessonDone(1, 1, 5), LessonDone(2, 3, 8)))


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"lessons": [{"lesson": 0, "done": 1, "there": 1}]},
        {"lessons": [{"lesson": 1, "done": "many", "there": 1}]},
        {"lessons": [{"lesson": 1, "done": 1, "there": 1, "name": SECRET}]},
        {"lessons": [{"lesson": 1, "done": 1, "there": 1}] * 100},
    ],
)
def test_a_report_is_numbers_and_nothing_else(server, body):
    assert call(server, "POST", PROGRESS_PATH, body)[0] == 400


def test_a_report_needs_the_token_and_a_workspace(server, data):
    for headers in ({}, {**HEADERS, "Authorization": "Bearer wrong"}, {"Authorization": HEADERS["Authorization"]}):
        assert call(server, "POST", PROGRESS_PATH, {"lessons": []}, headers)[0] in (400, 401)
    assert overview.workspaces(data) == []


def test_a_learner_who_solves_something_is_counted_without_a_word(connected, data, capsys):
    names = list(exercises.setup.QUESTIONS)
    for name in names[:2]:
        right = exercises.setup.QUESTIONS[name]
        letter = next(letter for letter, choice in right.lettered().items() if choice == right.right)
        exercises.question(name, letter)
        wrong = next(letter for letter, choice in right.lettered().items() if choice != right.right)
        exercises.question(name, wrong)
    assert capsys.readouterr().out.count("\n") == 4
    there = len(exercises.setup.EXERCISES) + len(exercises.setup.QUESTIONS)
    assert of(data, WORKSPACE).learner.lessons == (LessonDone(1, 2, there),)
    assert done.names() == set(names[:2])


def test_another_endpoint_is_told_nothing_and_nothing_of_it_is_heard(connected, monkeypatch, capsys):
    posted = []
    monkeypatch.setattr(local_service, "_json", lambda text: {})  # it does not say that it is one of ours
    beside = local_service.sdk.beside_the_api
    monkeypatch.setattr(
        local_service.sdk,
        "beside_the_api",
        lambda *args, **more: posted.append((args[1], more.get("secret", True))) or beside(*args, **more),
    )
    local_service.report(PROGRESS_PATH, {"lessons": []})
    assert (posted, capsys.readouterr()) == ([("/health", False)], ("", ""))


@pytest.mark.parametrize("url", ["", "http://127.0.0.1:1/api", "no address"])
def test_an_endpoint_that_is_not_there_fails_no_cell(connected, monkeypatch, capsys, url):
    monkeypatch.setenv("GRADIENT_API_URL", url)
    local_service.report(PROGRESS_PATH, {"lessons": []})
    assert capsys.readouterr() == ("", "")


def test_status_says_a_line_a_workspace_and_no_prompt_or_token(server, data, base, capsys, monkeypatch):
    base.create_model_adapter(name=SECRET).complete(query=SECRET)
    call(server, "POST", PROGRESS_PATH, {"lessons": [{"lesson": 1, "done": 2, "there": 5}]})
    call(server, "GET", "/api/models", headers={**HEADERS, "x-gradient-workspace-id": "ada"})
    server.use(FakeEngine(), data)
    assert commands.status(data) == commands.NOTHING_THERE
    said = capsys.readouterr().out
    _, head, *rows = said.splitlines()
    assert head.split("  ")[0] == "workspace"
    assert [row.split()[0] for row in rows] == ["ada", WORKSPACE]
    assert rows[0].split() == ["ada", "0", "0.0", "1", "0", "min", "ago", "none"]
    assert rows[1].endswith("lesson 1: 2 of 5")
    assert SECRET not in said
    assert TOKEN not in said


def test_status_for_programs_has_the_same(start_service, tmp_path, capsys):
    service = start_service(tmp_path / "room", module="tests.support.fake_service")
    Gradient(host=service.url, access_token=TOKEN, workspace_id="ada").list_models(only_base=True)
    call(service, "POST", PROGRESS_PATH, {"lessons": [{"lesson": 3, "done": 1, "there": 9}]})
    wait_until(lambda: calls_of(service.data, "ada"))
    assert program.main(["status", "--json", "--data-dir", str(service.data)]) == commands.DONE
    said = json.loads(capsys.readouterr().out)
    assert (said["service"]["url"], said["service"]["status"]) == (service.url, "ready")
    ada, mine = said["workspaces"]
    assert (ada["name"], ada["learner"]["calls"], ada["learner"]["last"][:2]) == ("ada", 1, "20")
    assert mine["learner"]["lessons"] == [{"lesson": 3, "done": 1, "there": 9}]
    service.stop()
    assert program.main(["status", "--json", "--data-dir", str(service.data)]) == commands.NOTHING_THERE
    assert json.loads(capsys.readouterr().out)["service"] is None


def test_a_folder_that_can_not_be_read_is_said_so(tmp_path, capsys):
    (tmp_path / learners.LEARNERS_FILE).write_text("no database " * 100)
    assert commands.status(tmp_path) == commands.NOTHING_THERE
    assert "can't be read" in capsys.readouterr().out


def test_a_disk_that_refuses_the_counts_refuses_no_call(server, data, monkeypatch):
    monkeypatch.setattr(learners, "WRITE_SECONDS", 0.01)

    tried = []

    def full(*_: object) -> None:
        tried.append(True)
        raise sqlite3.OperationalError("disk full")

    monkeypatch.setattr(server.status.calls.learners, "_database", type("Full", (), {"writing": full, "close": full}))
    for _ in range(3):
        assert call(server, "POST", f"/api/models/{BASE_ID}/complete", {"query": "q"})[0] == 200
    wait_until(lambda: tried)
    assert overview.workspaces(data) == []
    monkeypatch.undo()


def test_who_only_reports_has_made_no_call(server, data):
    call(server, "POST", PROGRESS_PATH, {"lessons": [{"lesson": 1, "done": 1, "there": 1}]})
    assert of(data, WORKSPACE).learner == Learner(lessons=(LessonDone(1, 1, 1),))


def test_files_of_an_earlier_version_are_taken_up(server, data):
    path = data / overview.COLLECTIONS_FILE
    server.status.calls.close()
    with sqlite3.connect(path) as database:
        database.execute("ALTER TABLE members DROP COLUMN bytes")
    database.close()
    server.use(FakeEngine(), data)
    collection = create(server, (upload(server), "cheeses.txt"))
    assert settled(server, collection)[0]["status"] == "succeeded"
    assert of(data, WORKSPACE).bytes > 1000
