"""Credentials: the environment wins, prompts never echo and never wait for no one, files are private."""

from __future__ import annotations

import getpass
import os

import pytest

from helpers import auth
from tests.conftest import file_mode

TOKEN, WORKSPACE = "GRADIENT_ACCESS_TOKEN", "GRADIENT_WORKSPACE_ID"


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """auth sets variables by itself: make pytest take them back."""
    for name in (TOKEN, WORKSPACE):
        monkeypatch.setenv(name, "")


@pytest.fixture
def person(monkeypatch) -> list[str]:
    """Someone who can answer prompts; the list holds the prompts seen."""
    prompts: list[str] = []

    def answer(prompt: str) -> str:
        prompts.append(prompt)
        return f" answer {len(prompts)} "

    monkeypatch.setattr(auth, "_someone_can_answer", lambda: True)
    monkeypatch.setattr(getpass, "getpass", answer)
    return prompts


def test_the_environment_wins_over_any_prompt(monkeypatch, person):
    monkeypatch.setenv(TOKEN, "t")
    monkeypatch.setenv(WORKSPACE, "w")
    auth.ensure_credentials()
    assert person == []


def test_only_what_is_missing_is_asked_for(monkeypatch, person, capsys):
    monkeypatch.setenv(TOKEN, "t")
    auth.ensure_credentials()
    assert len(person) == 1
    assert "workspace" in person[0]
    assert os.environ[WORKSPACE] == "answer 1"
    assert capsys.readouterr().out == ""


def test_no_one_to_ask_is_an_error_that_says_what_to_set(monkeypatch):
    monkeypatch.setattr(auth, "_someone_can_answer", lambda: False)
    with pytest.raises(auth.MissingCredentials, match=TOKEN):
        auth.ensure_credentials()


def test_a_kernel_without_stdin_is_no_one_to_ask(monkeypatch):
    class Kernel:
        _allow_stdin = False

    class Shell:
        kernel = Kernel()

    class IPython:
        get_ipython = staticmethod(Shell)

    monkeypatch.setitem(auth.sys.modules, "IPython", IPython)
    assert auth._someone_can_answer() is False
    Kernel._allow_stdin = True
    assert auth._someone_can_answer() is True


def test_an_empty_answer_is_refused(monkeypatch, person):
    monkeypatch.setattr(getpass, "getpass", lambda prompt: "  ")
    with pytest.raises(auth.MissingCredentials, match="No value"):
        auth.ensure_credentials()


def test_kept_credentials_are_private_and_used_next_time(person, monkeypatch):
    auth.credentials_file().parent.mkdir(parents=True, exist_ok=True)
    auth.credentials_file().write_text("{}")
    auth.credentials_file().chmod(0o644)
    auth.ensure_credentials(keep=True)
    assert file_mode(auth.credentials_file()) == 0o600
    for name in (TOKEN, WORKSPACE):
        monkeypatch.setenv(name, "")
    auth.ensure_credentials()
    assert len(person) == 2
    assert os.environ[TOKEN] == "answer 1"
    auth.forget_credentials()
    assert not auth.credentials_file().exists()
    assert TOKEN not in os.environ


def test_a_prompt_that_no_one_can_answer_is_said_so(monkeypatch):
    def closed(prompt: str) -> str:
        raise EOFError

    monkeypatch.setattr(auth, "_someone_can_answer", lambda: True)
    monkeypatch.setattr(getpass, "getpass", closed)
    with pytest.raises(auth.MissingCredentials, match="no one can be asked"):
        auth.ensure_credentials()
