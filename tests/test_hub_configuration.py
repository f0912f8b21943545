"""What `.jupyterhub/jupyterhub_config.py` sets, read as JupyterHub reads it; `browser/test_hub.py` runs a hub on it."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from packaging.requirements import Requirement
from traitlets.config import Config
from traitlets.config.loader import PyFileConfigLoader

from helpers.environment import (
    DATA_DIR_VARIABLE,
    LOCAL_TOKEN_VARIABLE,
    TOKEN_VARIABLE,
    URL_VARIABLE,
    WORKSPACE_ID,
    WORKSPACE_VARIABLE,
    is_token,
)
from tests.conftest import ROOT, file_mode
from tests.peers.environment import named

CONFIGURATION = Path(".jupyterhub") / "jupyterhub_config.py"  # as the command names it, in the folder of the clone
PASSWORD = "twelve blue herons"


@pytest.fixture
def state(tmp_path, monkeypatch) -> Path:
    """Where the hub keeps what it keeps; the password is set, and no other variable of the hub."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("GRADIENT_HUB_PASSWORD", PASSWORD)
    monkeypatch.setenv("PATH", "")  # the file adds to it
    monkeypatch.delenv("GRADIENT_HUB_SERVICE_PORT", raising=False)
    return tmp_path / "data" / "hub"


def configured() -> Config:
    return PyFileConfigLoader(str(CONFIGURATION)).load_config()


def workspace_of(name: str, settings: Config) -> str:
    return settings.Spawner.environment[WORKSPACE_VARIABLE](SimpleNamespace(user=SimpleNamespace(name=name)))


def service_of(settings: Config) -> dict:
    (service,) = settings.JupyterHub.services
    return service


@pytest.mark.parametrize("password", [None, "", "seven!!"])
def test_a_hub_without_a_password_says_so_in_a_sentence_and_starts_nothing(state, monkeypatch, password):
    monkeypatch.delenv("GRADIENT_HUB_PASSWORD")
    if password is not None:
        monkeypatch.setenv("GRADIENT_HUB_PASSWORD", password)
    with pytest.raises(SystemExit, match=r"^[^\n]*set GRADIENT_HUB_PASSWORD to 8 characters or more[^\n]*\.$"):
        configured()
    assert not state.exists()


def test_the_password_of_the_room_is_the_variables(state):
    assert configured().SharedPasswordAuthenticator.user_password == PASSWORD


def test_a_learner_gets_the_three_variables_of_the_service_that_the_hub_runs(state):
    settings = configured()
    given, service = settings.Spawner.environment, service_of(settings)
    assert set(given) == {URL_VARIABLE, TOKEN_VARIABLE, WORKSPACE_VARIABLE}
    assert service["environment"][LOCAL_TOKEN_VARIABLE] == given[TOKEN_VARIABLE]
    assert is_token(given[TOKEN_VARIABLE])
    port = service["command"][service["command"].index("--port") + 1]
    assert given[URL_VARIABLE] == f"http://127.0.0.1:{port}/api"


def test_the_service_listens_on_this_machine_alone_and_its_command_shows_no_secret(state):
    settings = configured()
    command = service_of(settings)["command"]
    assert not {"--host", "--token"} & set(command)
    secrets = [settings.Spawner.environment[TOKEN_VARIABLE], PASSWORD, (state / "secret.json").read_text().strip('"')]
    shown = " ".join([*command, *settings.Spawner.cmd, settings.SimpleLocalProcessSpawner.home_dir_template])
    assert not [secret for secret in secrets if secret in shown or secret in CONFIGURATION.read_text(encoding="utf-8")]


def test_a_workspace_cant_be_guessed_from_a_name_and_is_the_same_at_every_start(state, tmp_path, monkeypatch):
    names = ["ann", "ben", "eva"]
    first, again = ([workspace_of(name, configured()) for name in names] for _ in range(2))
    assert first == again
    assert len({*first}) == len(names)
    assert all(re.fullmatch(WORKSPACE_ID, workspace) for workspace in first)
    monkeypatch.setenv(DATA_DIR_VARIABLE, str(tmp_path / "another"))
    elsewhere = configured()
    assert not {*first} & {workspace_of(name, elsewhere) for name in names}


def test_the_secret_is_its_users_alone(state):
    configured()
    assert file_mode(state / "secret.json") == 0o600
    assert file_mode(state) in (0o600, 0o700)


def test_all_that_the_hub_keeps_is_in_its_own_folder_and_none_of_it_in_the_checkout(state):
    settings = configured()
    kept = [
        settings.JupyterHub.db_url.removeprefix("sqlite:///"),
        settings.JupyterHub.cookie_secret_file,
        settings.ConfigurableHTTPProxy.pid_file,
        settings.SimpleLocalProcessSpawner.home_dir_template,
        service_of(settings)["environment"][DATA_DIR_VARIABLE],
    ]
    assert [path for path in kept if state not in Path(path).parents] == []


@pytest.mark.parametrize("name", ["..", "../ann", "a/b", "", ".", "-r", "Ann", "ann.", "a" * 33, "ann\n"])
def test_a_name_that_is_no_folders_is_no_learners(state, name):
    pattern = re.compile(configured().Authenticator.username_pattern)
    assert not pattern.match(name)  # as JupyterHub asks: a match of the beginning is one
    assert pattern.match("ann-2_b")


def test_what_the_hub_runs_is_found_from_any_folder(state):
    settings = configured()
    for interpreter, script, *_ in (settings.Spawner.cmd, service_of(settings)["command"]):
        assert interpreter == sys.executable
        assert Path(script).is_absolute()
        assert Path(script).is_file()


def test_the_instructors_page_installs_what_is_tried_and_starts_this_file():
    page = (ROOT / "notebooks" / "INSTRUCTORS.md").read_text(encoding="utf-8")
    hub = Requirement(named("jupyterhub").read_text(encoding="utf-8").strip())
    (tried,) = [pin.version for pin in hub.specifier]
    assert Requirement(re.search(r'"(jupyterhub[^"]+)"', page)[1]).specifier.contains(tried)
    assert f"(tried with JupyterHub {tried})" in page
    proxy = json.loads(named("jupyterhub").with_suffix(".json").read_text(encoding="utf-8"))["dependencies"]
    assert re.search(r"configurable-http-proxy@(\d+)", page)[1] == proxy["configurable-http-proxy"].partition(".")[0]
    assert f"jupyterhub -f {CONFIGURATION.as_posix()}\n" in page
