"""The connect form, clicked from Python: it does what connect() does, says so, and keeps no token."""

from __future__ import annotations

import os

import pytest

from helpers import forms
from helpers.forms import connect
from helpers.service import launcher, paths
from helpers.service.catalog import ALL_MODELS
from tests.conftest import TOKEN, WORKSPACE


def status(form) -> str:
    return form._status.value


def fill(form, url: str, token: str = TOKEN, workspace: str = WORKSPACE):
    form.where.value = connect.HOSTED
    form.url.value, form.token.value, form.workspace.value = url, token, workspace
    form._connect.click()
    return form.wait(20)


def test_an_endpoint_is_connected_to_and_said(server):
    form = forms.connect_form()
    assert form.value is None
    gradient = fill(form, server.url)
    assert len(gradient.list_models(only_base=True)) == len(ALL_MODELS)
    assert server.url in status(form)
    assert os.environ["GRADIENT_ACCESS_TOKEN"] == TOKEN
    assert form._connect.disabled is False


def test_the_local_service_is_the_default_and_found(server):
    server.write_address(paths.data_dir())
    form = forms.connect_form()
    assert form.where.value == connect.LOCAL
    assert form._endpoint not in form.children
    form._connect.click()
    assert form.wait(20).workspace_id == "local_workspace"


def test_the_token_is_in_no_widget_state(server):
    form = forms.connect_form()
    fill(form, server.url)
    assert form._endpoint in form.children
    states = [widget.get_state() for widget in (form, *form.children, *form._endpoint.children)]
    assert TOKEN not in str(states)
    assert TOKEN not in repr(form)


def test_credentials_of_the_environment_are_offered_and_not_shown(server, connected):
    form = forms.connect_form()
    assert (form.where.value, form.url.value, form.token.value) == (connect.HOSTED, server.url, "")
    form._connect.click()
    assert form.wait(20) is not None


@pytest.mark.parametrize(
    ("url", "token", "word"),
    [
        ("http://127.0.0.1:9/api", TOKEN, "Nothing answers"),
        (None, "a-wrong-token", "GRADIENT_ACCESS_TOKEN"),
        (None, "", "fill in all three"),
    ],
    ids=["no one there", "wrong token", "no token"],
)
def test_an_error_is_one_sentence_and_the_form_stays_usable(server, url, token, word):
    form = forms.connect_form()
    assert fill(form, url or server.url, token) is None
    assert word in status(form)
    assert "a-wrong-token" not in status(form)
    assert "GRADIENT_ACCESS_TOKEN" not in os.environ
    assert fill(form, server.url) is not None


def test_a_second_click_while_busy_does_nothing(server, monkeypatch):
    calls = []
    real = connect.connect
    monkeypatch.setattr(connect, "connect", lambda **options: (calls.append(1), real(**options))[1])
    form = forms.connect_form()
    form._working.acquire()
    form._connect.click()
    form._working.release()
    assert calls == []
    fill(form, server.url)
    assert calls == [1]


def test_a_token_leaves_its_field_as_soon_as_it_is_typed(server):
    form = forms.connect_form()
    form.where.value, form.token.value = connect.HOSTED, TOKEN
    assert (form.token.value, form.token.placeholder) == ("", connect.KEPT)
    form.url.value, form.workspace.value = server.url, WORKSPACE
    form._connect.click()
    assert form.wait(20) is not None


def test_a_test_says_what_answers_and_changes_nothing(server):
    form = forms.connect_form()
    form.where.value = connect.HOSTED
    form.url.value, form.token.value, form.workspace.value = server.url, TOKEN, WORKSPACE
    form._test.click()
    assert form.wait(20) is None
    assert f"{len(ALL_MODELS)} models in {WORKSPACE}" in status(form)
    assert "GRADIENT_ACCESS_TOKEN" not in os.environ


def test_a_test_of_the_local_service_does_not_start_it():
    form = forms.connect_form()
    form._test.click()
    form.wait(20)
    assert "not running" in status(form)
    assert launcher.find(paths.data_dir()) is None


def test_its_code_connects(server):
    server.write_address(paths.data_dir())
    names: dict = {}
    exec(forms.connect_form().code, names)  # noqa: S102 - the code under test
    assert names["gradient"].workspace_id == "local_workspace"


def test_its_code_for_an_endpoint_asks_for_the_token_and_names_none(server, monkeypatch):
    form = forms.connect_form()
    fill(form, server.url)
    assert TOKEN not in form.code
    monkeypatch.delenv("GRADIENT_ACCESS_TOKEN")
    monkeypatch.setattr("helpers.auth._someone_can_answer", lambda: True)
    monkeypatch.setattr("getpass.getpass", lambda prompt="": TOKEN)
    names: dict = {}
    exec(form.code, names)  # noqa: S102 - the code under test
    assert names["gradient"].workspace_id == WORKSPACE


def test_what_an_error_says_is_text_and_not_markup(server, monkeypatch):
    def fail(**_):
        raise RuntimeError("<script>alert(1)</script>")

    monkeypatch.setattr(connect, "connect", fail)
    form = forms.connect_form()
    form._connect.click()
    form.wait(20)
    assert "<script>" not in status(form)


def test_its_repr_is_constant_so_that_a_notebook_can_be_compared():
    assert repr(forms.connect_form()) == "ConnectForm: run this cell to show the form"


def test_half_a_set_of_credentials_is_completed_in_the_form(monkeypatch):
    monkeypatch.setenv("GRADIENT_ACCESS_TOKEN", TOKEN)
    form = forms.connect_form()
    assert form.where.value == connect.HOSTED
    assert form.token.placeholder == "from the environment"
    assert TOKEN not in str(form.get_state())
