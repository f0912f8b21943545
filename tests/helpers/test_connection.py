"""connect(): whose endpoint, one line, and a reason in bounded time when there is none."""

from __future__ import annotations

import copy
import json
import os
import secrets
import time
from dataclasses import replace

import pytest
from gradientai import Gradient
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import PromptTemplate

from helpers import (
    GradientError,
    GradientLLM,
    adapter_folder,
    auth,
    connect,
    connection,
    doctor,
    forms,
    sdk,
    stop_local_service,
)
from helpers.environment import CACHE_DIR_VARIABLE, CREDENTIALS_FILE_VARIABLE, DATA_DIR_VARIABLE, LOCAL_WORKSPACE
from helpers.service import __main__ as program
from helpers.service import launcher, paths
from helpers.service.catalog import ALL_MODELS
from tests.conftest import TOKEN, WORKSPACE, file_mode
from tests.stub.server import ThreadedServer
from tests.support.fake_engine import FakeEngine


def test_credentials_in_the_environment_win(connected, server, capsys):
    gradient = connect()
    assert len(gradient.list_models(only_base=True)) == len(ALL_MODELS)
    assert capsys.readouterr().out == (
        f"Connected to the local Gradient service at {server.url}, workspace {WORKSPACE}.\n"
    )


def test_the_token_is_not_printed(connected, capsys):
    connect()
    assert TOKEN not in capsys.readouterr().out


def test_quiet_prints_nothing(connected, capsys):
    connect(quiet=True)
    assert capsys.readouterr().out == ""


def test_one_cell_connects_to_a_room_and_all_that_follows_goes_there(server, capsys):
    gradient = connect(url=f" {server.url}/\n", token=TOKEN, workspace="ada")
    said = capsys.readouterr().out
    assert said == f"Connected to the local Gradient service at {server.url}, workspace ada.\n"
    assert (gradient.workspace_id, Gradient().workspace_id, connect(quiet=True).workspace_id) == ("ada", "ada", "ada")
    assert [os.environ[f"GRADIENT_{name}"] for name in ("API_URL", "ACCESS_TOKEN")] == [server.url, TOKEN]
    assert TOKEN not in said + repr(gradient)


def test_what_one_cell_names_wins_over_the_environment(connected, server):
    assert connect(url=server.url, token=TOKEN, workspace="ada", quiet=True).workspace_id == "ada"
    assert connect(url=server.url, token=TOKEN, workspace="ben", quiet=True).workspace_id == "ben"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"url": "http://192.168.1.20:8080/api"}, "connect() with url needs token and workspace too"),
        ({"url": "http://192.168.1.20:8080/api", "token": TOKEN, "workspace": " "}, "needs workspace too"),
        ({"token": TOKEN}, "connect() with token needs url and workspace too"),
        ({"workspace": "ada"}, "connect() with workspace needs url and token too"),
        ({"url": "192.168.1.20:8080", "token": TOKEN, "workspace": "ada"}, "a right one is http://192.168.1.20:8080/a"),
        ({"url": 8080, "token": TOKEN, "workspace": "ada"}, "connect() takes url as a text"),
        ({"url": "http://127.0.0.1:1/api", "token": [TOKEN], "workspace": "ada"}, "connect() takes token as a text"),
        ({"url": "http://127.0.0.1:1/api", "token": TOKEN, "workspace": "ada lovelace"}, "The workspace, "),
        ({"url": "http://127.0.0.1:1/api", "token": "…", "workspace": "ada"}, "another one at place 1"),
        ({"url": "http://127.0.0.1:1/api", "token": f"{TOKEN} x", "workspace": "ada"}, f"place {len(TOKEN) + 1}"),
        ({"url": "http://127.0.0.1:1/api", "token": TOKEN, "workspace": "ada"}, "Nothing answers at"),
        ({"url": "http://127.0.0.1:1/api", "token": TOKEN, "workspace": "ada", "hosted": True}, "leave hosted and"),
        ({"url": "http://127.0.0.1:1/api", "token": TOKEN, "workspace": "ada", "data_dir": "x"}, "and data_dir out"),
    ],
)
def test_a_cell_that_is_not_whole_or_not_right_is_said_so_and_changes_nothing(given, said):
    before = dict(os.environ)
    with pytest.raises(GradientError) as refusal:
        connect(**given)
    assert said in str(refusal.value)
    assert TOKEN not in str(refusal.value) + repr(refusal.value)
    assert dict(os.environ) == before


def test_a_wrong_token_in_a_cell_is_in_no_sentence_and_leaves_the_connection_that_was(connected, server):
    wrong = "a-wrong-token"
    with pytest.raises(GradientError, match="GRADIENT_ACCESS_TOKEN") as refusal:
        connect(url=server.url, token=wrong, workspace="ada")
    assert wrong not in str(refusal.value) + repr(refusal.value)
    assert connect(quiet=True).workspace_id == WORKSPACE


def test_one_credential_without_the_other_is_refused(monkeypatch):
    monkeypatch.setenv("GRADIENT_ACCESS_TOKEN", TOKEN)
    with pytest.raises(GradientError, match="GRADIENT_WORKSPACE_ID"):
        connect()


def test_a_wrong_token_is_said_so_without_headers(connected, monkeypatch):
    monkeypatch.setenv("GRADIENT_ACCESS_TOKEN", "a-wrong-token")
    with pytest.raises(GradientError, match="GRADIENT_ACCESS_TOKEN") as refusal:
        connect()
    assert "a-wrong-token" not in str(refusal.value)


def test_an_endpoint_that_is_not_there_is_said_so(connected, monkeypatch):
    monkeypatch.setenv("GRADIENT_API_URL", "http://127.0.0.1:9/api")
    with pytest.raises(GradientError, match="Nothing answers"):
        connect()


def test_an_endpoint_that_is_something_else_is_said_so(connected, server, monkeypatch):
    monkeypatch.setenv("GRADIENT_API_URL", server.url.removesuffix("/api") + "/docs/api")
    with pytest.raises(GradientError):
        connect()


def test_a_running_service_is_found_and_its_address_is_private(server, capsys):
    data = paths.data_dir()
    server.write_address(data)
    assert file_mode(data / launcher.ADDRESS_FILE) == 0o600
    gradient = connect()
    assert gradient.workspace_id == LOCAL_WORKSPACE
    assert os.environ["GRADIENT_API_URL"] == server.url
    assert connect(quiet=True).list_models(only_base=True)  # what connect() set itself is not taken for the user's


@pytest.fixture
def in_a_folder_of_its_own(server, engine, tmp_path, monkeypatch):
    """A service on another data folder than the per-user one."""
    folder = tmp_path / "mine"
    folder.mkdir()
    server.use(engine, folder)
    server.write_address(folder)
    monkeypatch.chdir(tmp_path)
    return folder


def test_a_data_folder_that_connect_was_given_is_remembered(in_a_folder_of_its_own, tmp_path, monkeypatch, capsys):
    gradient = connect(data_dir="mine", quiet=True)
    adapter = gradient.get_base_model(base_model_slug="nous-hermes2").create_model_adapter(name="a")
    adapter.fine_tune(samples=[{"inputs": "x"}])
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert adapter_folder(adapter) == in_a_folder_of_its_own / "adapters" / adapter.id / "v1"
    assert "running at" in doctor.service().detail
    assert connect(quiet=True).get_model_adapter(model_adapter_id=adapter.id).id == adapter.id
    stopped = []
    monkeypatch.setattr(launcher, "stop", lambda data: stopped.append(data) or True)
    stop_local_service()
    stop_local_service(data_dir="another")
    assert stopped == [in_a_folder_of_its_own, tmp_path / "elsewhere" / "another"]


def test_an_adapter_is_found_after_connecting_to_another_data_folder(in_a_folder_of_its_own, server, tmp_path):
    gradient = connect(data_dir=in_a_folder_of_its_own, quiet=True)
    adapter = gradient.get_base_model(base_model_slug="nous-hermes2").create_model_adapter(name="a")
    adapter.fine_tune(samples=[{"inputs": "x"}])
    server.write_address(tmp_path / "data")
    connect(data_dir=tmp_path / "data", quiet=True)
    assert paths.data_dir() == tmp_path / "data"
    assert adapter_folder(adapter).is_relative_to(in_a_folder_of_its_own)


@pytest.mark.parametrize("written", ["~/a folder", "~"])
def test_a_tilde_is_the_home_folder_wherever_a_folder_is_named(tmp_path, monkeypatch, written):
    for variable in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(variable, str(tmp_path))
    meant = tmp_path / written.removeprefix("~").removeprefix("/")
    for variable in (DATA_DIR_VARIABLE, CACHE_DIR_VARIABLE, CREDENTIALS_FILE_VARIABLE):
        monkeypatch.setenv(variable, written)
    options = program._parse(["--data-dir", written, f"--cache-dir={written}", "--model", written])
    named = [options.data_dir, options.cache_dir, options.model, connection._data_folder(written)]
    assert named == [meant] * 4
    assert [paths.data_dir(), paths.cache_dir(), auth.credentials_file()] == [meant] * 3


def test_a_folder_is_named_from_the_root_on_and_the_home_of_no_one_is_a_folder_like_others(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(DATA_DIR_VARIABLE, "here")
    assert paths.data_dir() == tmp_path / "here"
    assert paths.whole("~no-such-user/x").parts[-2:] == ("~no-such-user", "x")


def test_a_data_folder_that_could_not_be_used_is_not_remembered(tmp_path):
    before = paths.data_dir()
    (tmp_path / "file").write_text("")
    with pytest.raises(GradientError):
        connect(data_dir=tmp_path / "file")
    assert paths.data_dir() == before


def test_hosted_does_not_take_the_local_service_for_the_endpoint(server, monkeypatch):
    server.write_address(paths.data_dir())
    connect(quiet=True)
    monkeypatch.setattr(auth, "_someone_can_answer", lambda: False)
    with pytest.raises(auth.MissingCredentials):
        connect(hosted=True)
    assert "GRADIENT_API_URL" not in os.environ


def test_the_address_of_a_dead_service_is_not_believed(server):
    data = paths.data_dir()
    launcher.write_address(data, replace(server.address, instance="another run"))
    assert launcher.find(data) is None
    launcher.write_address(data, replace(server.address, url="http://127.0.0.1:9/api"))
    assert launcher.find(data) is None
    urls = ("http://x:port/api", "no address", 5)
    damaged = [json.dumps({"url": url, "token": "t", "pid": 1, "instance": "i"}) for url in urls]
    for content in ("{half", "[]", *damaged):
        (data / launcher.ADDRESS_FILE).write_text(content)
        assert launcher.find(data) is None


def test_a_service_that_dies_gives_its_reason_soon(tmp_path, monkeypatch):
    blocked = tmp_path / "a file where the cache should be"
    blocked.write_text("")
    monkeypatch.setenv(CACHE_DIR_VARIABLE, str(blocked))
    started = time.monotonic()
    with pytest.raises(GradientError, match="GRADIENT_LOCAL_CACHE_DIR") as failure:
        connect()
    assert "end of its output" in str(failure.value)
    assert time.monotonic() - started < launcher.START_SECONDS


def test_a_data_folder_that_can_not_be_one_is_said_so(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(GradientError, match="file"):
        connect(data_dir=blocked)


def test_a_service_that_never_gets_ready_is_given_up(server, monkeypatch):
    monkeypatch.setattr(launcher, "START_SECONDS", 0.5)
    server.status.calls, calls = None, server.status.calls
    server.status.doing = "Thinking about it"
    server.write_address(paths.data_dir())
    with pytest.raises(GradientError, match="Thinking about it"):
        connect()
    server.status.calls = calls


def test_progress_is_shown_while_the_model_is_fetched(server, monkeypatch, capsys):
    server.write_address(paths.data_dir())
    healths = [{"doing": "Downloading", "progress": 0.1}, {"doing": "Downloading", "progress": 0.9}]

    def health(service):
        now = {**healths.pop(0), "instance": service.instance} if healths else {"instance": service.instance}
        return (503 if "doing" in now else 200), now

    monkeypatch.setattr(launcher, "find", lambda data: launcher.Service(server.url, TOKEN, 1, "i"))
    monkeypatch.setattr(launcher, "health_of", health)
    connect()
    assert "Downloading: " in capsys.readouterr().err


@pytest.fixture
def restart(server, tmp_path):
    """Ends the local service and starts it again with the same adapters, on another port and with another token."""
    (tmp_path / "kept").mkdir()
    running = []

    def start() -> ThreadedServer:
        if running:
            running.pop().stop()
        token = secrets.token_urlsafe(24)
        running.append(ThreadedServer(FakeEngine(), tmp_path / "kept", token).start())
        running[0].write_address(paths.data_dir())
        return running[0]

    yield start
    running.pop().stop()


def test_what_was_made_before_a_restart_goes_on_after_connect(restart, capsys):
    restart()
    gradient = connect()
    base = gradient.get_base_model(base_model_slug="nous-hermes2")
    adapter = base.create_model_adapter(name="mine")
    used, unused = (GradientLLM(model=base.id) for _ in range(2))
    explicit = GradientLLM(
        model=adapter.id,
        gradient_api_url=os.environ["GRADIENT_API_URL"],
        gradient_access_token=os.environ["GRADIENT_ACCESS_TOKEN"],
    )
    chain = PromptTemplate.from_template("Q: {q}") | used | StrOutputParser()
    form = forms.completion_form(gradient)
    by_hand, copied = Gradient(), copy.deepcopy(unused)
    assert chain.invoke({"q": "x"}) == "echo: Q: x"
    for _ in range(3):
        server = restart()
        connect(quiet=True)
        assert {os.environ["GRADIENT_API_URL"], sdk.url_of(gradient), sdk.url_of(by_hand)} == {server.url}
        assert chain.invoke({"q": "x"}) == "echo: Q: x"
        assert [llm.invoke("x") for llm in (used, unused, explicit, copied)] == ["echo: x"] * 4
        assert [model.complete(query="x").generated_output for model in (base, adapter)] == ["echo: x"] * 2
        assert adapter.id in [model.id for model in by_hand.list_models(only_base=False)]
        form._run.click()
        form.wait(20)
        assert "echo:" in form._answers.value
    adapter.fine_tune(samples=[{"inputs": "learned"}])
    assert explicit.invoke("x") == "learned"


def test_a_client_of_another_endpoint_stays_where_it_is(restart, gradient, server):
    restart()
    connect(quiet=True)
    other_token = Gradient(host=os.environ["GRADIENT_API_URL"], access_token="of-someone-else", workspace_id="w")
    url = sdk.url_of(other_token)
    restart()
    connect(quiet=True)
    assert (sdk.url_of(gradient), sdk.url_of(other_token)) == (server.url, url)


def test_another_data_folder_is_another_service(restart, server, tmp_path):
    restart()
    gradient = connect(quiet=True)
    there = sdk.url_of(gradient)
    (tmp_path / "other").mkdir()
    server.write_address(tmp_path / "other")
    other = connect(data_dir=tmp_path / "other", quiet=True)
    assert (sdk.url_of(other), sdk.url_of(gradient)) == (server.url, there)


def test_stopping_when_nothing_runs_is_fine(capsys):
    stop_local_service()
    assert "No local Gradient service" in capsys.readouterr().out


def test_a_busy_service_is_asked_again(connected, server, engine, monkeypatch):
    from helpers.service import refusals

    gradient = connect(quiet=True)
    answers = [refusals.Busy("busy", retry_after_seconds=0), refusals.Busy("busy", retry_after_seconds=0)]
    real = engine.complete

    def sometimes_busy(*arguments):
        if answers:
            raise answers.pop()
        return real(*arguments)

    monkeypatch.setattr(engine, "complete", sometimes_busy)
    base = gradient.list_models(only_base=True)[0]
    assert base.complete(query="q").generated_output == "echo: q"
    assert answers == []
