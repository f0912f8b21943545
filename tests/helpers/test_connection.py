"""connect(): whose endpoint, one line, and a reason in bounded time when there is none."""

from __future__ import annotations

import copy
import os
import secrets
import time

import pytest
from gradientai import Gradient
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import PromptTemplate

from helpers import GradientError, GradientLLM, auth, connect, forms, sdk, stop_local_service
from helpers.environment import CACHE_DIR_VARIABLE, LOCAL_WORKSPACE
from helpers.service import launcher, paths
from tests.conftest import TOKEN, WORKSPACE, file_mode
from tests.stub.server import ThreadedServer
from tests.support.fake_engine import FakeEngine


@pytest.fixture
def environment(server, monkeypatch):
    monkeypatch.setenv("GRADIENT_API_URL", server.url)
    monkeypatch.setenv("GRADIENT_ACCESS_TOKEN", TOKEN)
    monkeypatch.setenv("GRADIENT_WORKSPACE_ID", WORKSPACE)


def test_credentials_in_the_environment_win(environment, server, capsys):
    gradient = connect()
    assert len(gradient.list_models(only_base=True)) == 3
    assert capsys.readouterr().out == (
        f"Connected to the local Gradient service at {server.url}, workspace {WORKSPACE}.\n"
    )


def test_the_token_is_not_printed(environment, capsys):
    connect()
    assert TOKEN not in capsys.readouterr().out


def test_quiet_prints_nothing(environment, capsys):
    connect(quiet=True)
    assert capsys.readouterr().out == ""


def test_one_credential_without_the_other_is_refused(monkeypatch):
    monkeypatch.setenv("GRADIENT_ACCESS_TOKEN", TOKEN)
    with pytest.raises(GradientError, match="GRADIENT_WORKSPACE_ID"):
        connect()


def test_a_wrong_token_is_said_so_without_headers(environment, monkeypatch):
    monkeypatch.setenv("GRADIENT_ACCESS_TOKEN", "a-wrong-token")
    with pytest.raises(GradientError, match="GRADIENT_ACCESS_TOKEN") as refusal:
        connect()
    assert "a-wrong-token" not in str(refusal.value)


def test_an_endpoint_that_is_not_there_is_said_so(environment, monkeypatch):
    monkeypatch.setenv("GRADIENT_API_URL", "http://127.0.0.1:9/api")
    with pytest.raises(GradientError, match="Nothing answers"):
        connect()


def test_an_endpoint_that_is_something_else_is_said_so(environment, server, monkeypatch):
    monkeypatch.setenv("GRADIENT_API_URL", server.url.removesuffix("/api") + "/docs/api")
    with pytest.raises(GradientError):
        connect()


def test_a_running_service_is_found_and_its_address_is_private(server, capsys):
    data = paths.data_dir()
    launcher.write_address(data, server.url, TOKEN, server.status.instance)
    assert file_mode(data / launcher.ADDRESS_FILE) == 0o600
    gradient = connect()
    assert gradient.workspace_id == LOCAL_WORKSPACE
    assert os.environ["GRADIENT_API_URL"] == server.url
    assert connect(quiet=True).list_models(only_base=True)  # what connect() set itself is not taken for the user's


def test_hosted_does_not_take_the_local_service_for_the_endpoint(server, monkeypatch):
    launcher.write_address(paths.data_dir(), server.url, TOKEN, server.status.instance)
    connect(quiet=True)
    monkeypatch.setattr(auth, "_someone_can_answer", lambda: False)
    with pytest.raises(auth.MissingCredentials):
        connect(hosted=True)
    assert "GRADIENT_API_URL" not in os.environ


def test_the_address_of_a_dead_service_is_not_believed(server):
    data = paths.data_dir()
    launcher.write_address(data, server.url, TOKEN, "another run")
    assert launcher.find(data) is None
    launcher.write_address(data, "http://127.0.0.1:9/api", TOKEN, "x")
    assert launcher.find(data) is None
    for content in ("{half", "[]", '{"url": "http://x:port/api", "token": "t", "pid": 1, "instance": "i"}'):
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
    launcher.write_address(paths.data_dir(), server.url, TOKEN, server.status.instance)
    with pytest.raises(GradientError, match="Thinking about it"):
        connect()
    server.status.calls = calls


def test_progress_is_shown_while_the_model_is_fetched(server, monkeypatch, capsys):
    launcher.write_address(paths.data_dir(), server.url, TOKEN, server.status.instance)
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
        launcher.write_address(paths.data_dir(), running[0].url, token, running[0].status.instance)
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
    launcher.write_address(tmp_path / "other", server.url, TOKEN, server.status.instance)
    other = connect(data_dir=tmp_path / "other", quiet=True)
    assert (sdk.url_of(other), sdk.url_of(gradient)) == (server.url, there)


def test_stopping_when_nothing_runs_is_fine(capsys):
    stop_local_service()
    assert "No local Gradient service" in capsys.readouterr().out


def test_a_busy_service_is_asked_again(environment, server, engine, monkeypatch):
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
