"""The settings of an endpoint as people really have them: one rule for each, and no token in anything that is shown."""

from __future__ import annotations

import logging
import os
import traceback
from dataclasses import replace

import pytest
from gradientai import Gradient
from pydantic import ValidationError

from helpers import BadInput, GradientError, GradientLLM, auth, connect, endpoint, forms, sdk
from helpers.forms.connect import HOSTED
from helpers.service import launcher, paths
from helpers.service.catalog import ALL_MODELS
from tests.conftest import TOKEN, WORKSPACE

SECRET = "a-secret-that-must-not-be-shown"
UNSENDABLE = [f"{SECRET}\r\nHost: x", f"{SECRET}\u2026", f"{SECRET} and more", f"{SECRET}\x01", "\u00e9" + SECRET]


@pytest.fixture
def variables(server, monkeypatch):
    """Sets the three variables; what connect() puts there itself is taken back as well."""

    def give(url: str = server.url, token: str = TOKEN, workspace: str = WORKSPACE) -> None:
        monkeypatch.setenv("GRADIENT_API_URL", url)
        monkeypatch.setenv("GRADIENT_ACCESS_TOKEN", token)
        monkeypatch.setenv("GRADIENT_WORKSPACE_ID", workspace)

    give()
    return give


# --- white space, and tokens that can't be sent


def refusals(base) -> tuple[str, str]:
    """What connect() and a new GradientLLM say of variables that can't be used."""
    with pytest.raises(GradientError) as by_connect:
        connect()
    with pytest.raises(BadInput) as by_llm:
        GradientLLM(model=base.id)
    return str(by_connect.value), str(by_llm.value)


@pytest.mark.parametrize("left", ["\r", "\n", "\r\n", " ", "\t", "\xa0", "\ufeff", "\u200b"])
def test_what_a_file_leaves_around_the_values_is_dropped(variables, server, base, left):
    variables(left + server.url + left, left + TOKEN + left, left + WORKSPACE + left)
    assert GradientLLM(model=base.id).invoke("x") == "echo: x"
    form = forms.connect_form()
    form._connect.click()
    assert form.wait(20) is not None, form._status.value
    variables(left + server.url + left, left + TOKEN + left, left + WORKSPACE + left)
    assert connect(quiet=True).workspace_id == WORKSPACE
    assert Gradient().list_models(only_base=True)  # the SDK's own client takes the variables as they are
    assert os.environ["GRADIENT_ACCESS_TOKEN"] == TOKEN


def test_what_is_given_by_hand_is_cleaned_too(server, base):
    llm = GradientLLM(
        model=base.id,
        gradient_access_token=f"{TOKEN}\r",
        gradient_workspace_id=f"{WORKSPACE}\n",
        gradient_api_url=f" {server.url} ",
    )
    assert llm.invoke("x") == "echo: x"


def shown(error: BaseException) -> str:
    """All that an exception shows or holds, of those before it too."""
    held = [repr(error), str(error), repr(vars(error)), "".join(traceback.format_exception(error))]
    if isinstance(error, ValidationError):
        held.append(repr(error.errors()))
    if isinstance(error, UnicodeError):
        held.append(str(error.object))
    return "".join(held) + "".join(shown(one) for one in (error.__cause__, error.__context__) if one is not None)


@pytest.mark.parametrize("token", UNSENDABLE)
def test_a_token_that_no_header_can_carry_is_said_so_and_shown_nowhere(variables, server, base, token, caplog, capsys):
    caplog.set_level(logging.DEBUG)
    variables(token=token)
    said = []
    with pytest.raises(GradientError, match="GRADIENT_ACCESS_TOKEN") as refusal:
        connect()
    said.append(shown(refusal.value))
    with pytest.raises(BadInput, match="GRADIENT_ACCESS_TOKEN") as refusal:
        GradientLLM(model=base.id)
    said.append(shown(refusal.value))
    for given in ({}, {"model_kwargs": {"top_k": 0}}, {"no_such_field": 1}, {"access_token": SECRET}):
        with pytest.raises(BadInput) as refusal:
            GradientLLM(model=base.id, gradient_access_token=token, **given)
        said.append(shown(refusal.value))
    form = forms.connect_form()
    for button in (form._connect, form._test):
        button.click()
        form.wait(20)
        assert "GRADIENT_ACCESS_TOKEN" in form._status.value
        said.append(str([widget.get_state() for widget in (form, *form.children, *form._endpoint.children)]))
    assert SECRET not in "".join([*said, caplog.text, *capsys.readouterr()])


@pytest.mark.parametrize("token", [f"{SECRET}\r\n", f"{SECRET}\u2026"])
def test_a_client_of_ones_own_with_such_a_token_shows_it_in_no_form(server, token):
    gradient = Gradient(host=server.url, access_token=token, workspace_id=WORKSPACE)
    picker = forms.model_picker(gradient)
    assert "GRADIENT_ACCESS_TOKEN" in picker._status.value
    assert SECRET not in picker._status.value


def test_what_holds_a_token_does_not_show_it(server, base):
    at = endpoint.checked(server.url, SECRET, WORKSPACE)
    launcher.write_address(paths.data_dir(), replace(server.address, token=SECRET))
    held = [at, launcher.find(paths.data_dir()), sdk.client(server.url, SECRET, WORKSPACE)]
    settings = {"gradient_workspace_id": WORKSPACE, "gradient_api_url": server.url}
    held.append(GradientLLM(model=base.id, gradient_access_token=SECRET, **settings))
    assert SECRET not in repr(held) + str(held[-1])


# --- addresses


HOST = "http://127.0.0.1:8080"


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        (f"{HOST}/api", f"{HOST}/api"),
        (f"{HOST}/api/", f"{HOST}/api"),
        (f"{HOST}/api///", f"{HOST}/api"),
        (f"{HOST}//api", f"{HOST}/api"),
        (HOST, f"{HOST}/api"),
        (f"{HOST}/", f"{HOST}/api"),
        (f" {HOST}/api\r\n", f"{HOST}/api"),
        ("HTTP://127.0.0.1:8080/api", f"{HOST}/api"),
        ("https://a.test/gradient/api/", "https://a.test/gradient/api"),
        ("http://[::1]:8080", "http://[::1]:8080/api"),
    ],
)
def test_an_address_that_can_be_meant_in_one_way_is_taken(given, taken):
    assert endpoint.checked_url(given) == taken


@pytest.mark.parametrize(
    ("given", "right"),
    [
        ("127.0.0.1:8080/api", f"{HOST}/api"),
        ("localhost:8080", "http://localhost:8080/api"),
        ("a.test", "http://a.test/api"),
        (f"{HOST}/v1", f"{HOST}/api"),
        (f"{HOST}/api/models", f"{HOST}/api"),
        (f"{HOST}/API", f"{HOST}/api"),
        (f"{HOST}/docs", f"{HOST}/api"),
        (f"{HOST}/api?x=1", f"{HOST}/api"),
        (f"{HOST}/api#x", f"{HOST}/api"),
        ("http://127.0.0.1:port/api", endpoint.EXAMPLE_URL),
        ("http://127.0.0.1:99999/api", endpoint.EXAMPLE_URL),
        ("http://[::1/api", endpoint.EXAMPLE_URL),
        ("ftp://a.test/api", endpoint.EXAMPLE_URL),
        ("http:/127.0.0.1:8080/api", endpoint.EXAMPLE_URL),
        ("http://", endpoint.EXAMPLE_URL),
        ("/api", endpoint.EXAMPLE_URL),
        ("http://a b.test/api", endpoint.EXAMPLE_URL),
        (f"http://me:{SECRET}@a.test/api", endpoint.EXAMPLE_URL),
    ],
)
def test_any_other_is_refused_with_its_variable_and_a_right_one(variables, base, given, right):
    variables(url=given)
    by_connect, by_llm = refusals(base)
    with pytest.raises(BadInput) as by_hand:
        GradientLLM(model=base.id, gradient_api_url=given)
    form = forms.connect_form()
    form._connect.click()
    form.wait(20)
    for said in (by_connect, by_llm, str(by_hand.value), form._status.value):
        assert "GRADIENT_API_URL" in said
        assert f" {right}." in said
        assert SECRET not in said


@pytest.mark.parametrize("left", ["", "/", "/api", "/api/"])
def test_each_way_to_write_a_services_address_connects(variables, server, base, left):
    host = server.url.removesuffix("/api")
    variables(url=host + left)
    assert GradientLLM(model=base.id).invoke("x") == "echo: x"
    form = forms.connect_form()
    for button, said in ((form._test, f"{len(ALL_MODELS)} models"), (form._connect, "Connected")):
        button.click()
        form.wait(20)
        assert said in form._status.value
    variables(url=host + left)
    assert sdk.url_of(connect(quiet=True)) == os.environ["GRADIENT_API_URL"] == server.url


@pytest.fixture
def sent(monkeypatch) -> list[str]:
    """Where connections go to, and none is made."""
    asked: list[str] = []

    def note(address, *_, **__):
        asked.append(address[0])
        raise OSError("not in this test")

    monkeypatch.setattr("urllib3.util.connection.create_connection", note)
    monkeypatch.setattr("socket.create_connection", note)
    return asked


@pytest.mark.parametrize("url", [None, "", " \r"])
def test_credentials_without_an_address_are_sent_nowhere(variables, base, monkeypatch, sent, url):
    variables(url=url or "")
    if url is None:
        monkeypatch.delenv("GRADIENT_API_URL")
    remedies = ("GRADIENT_ACCESS_TOKEN and GRADIENT_WORKSPACE_ID", "nset", endpoint.EXAMPLE_URL)
    by_connect, by_llm = refusals(base)
    for said in (by_connect, by_llm):
        assert all(remedy in said for remedy in remedies), said
    with pytest.raises(auth.MissingCredentials, match="GRADIENT_API_URL"):
        connect(hosted=True)
    form = forms.connect_form()
    for button in (form._connect, form._test):
        button.click()
        form.wait(20)
        assert "URL" in form._status.value
    with pytest.raises(ValueError, match="URL"):
        form.code  # noqa: B018 - refuses
    assert sent == []


def test_the_retired_address_is_used_if_it_is_asked_for(variables, sent):
    variables(url="https://api.gradient.ai/api")
    with pytest.raises(GradientError, match="Nothing answers"):
        connect()
    assert set(sent) == {"api.gradient.ai"}


# --- ids


@pytest.mark.parametrize("workspace", ["7", "07", "ab", "a.b_c:d-e", "x" * 128])
def test_a_workspace_id_that_the_service_takes_is_taken_everywhere(variables, server, base, workspace):
    variables(workspace=workspace)
    assert GradientLLM(model=base.id).invoke("x") == "echo: x"
    assert connect(quiet=True).workspace_id == workspace
    form = forms.connect_form()
    for button, said in ((form._test, workspace), (form._connect, workspace)):
        button.click()
        form.wait(20)
        assert said in form._status.value
    assert Gradient().list_models(only_base=True)


@pytest.mark.parametrize("workspace", ["two words", "a/b", "\u00fc", "x" * 129, "a\nb", "(id)"])
def test_any_other_workspace_id_is_refused_with_one_sentence(variables, server, base, workspace):
    variables(workspace=workspace)
    by_connect, by_llm = refusals(base)
    with pytest.raises(ValueError, match="workspace") as third:
        sdk.client(server.url, TOKEN, workspace)
    assert by_connect.startswith(
        "The workspace, GRADIENT_WORKSPACE_ID, has to be an id (letters, digits and '_.:-', up to 128)"
    )
    assert by_connect in by_llm
    assert by_connect == str(third.value)


def test_a_short_token_is_refused_everywhere_with_one_sentence(variables, base):
    variables(token="short")
    by_connect, by_llm = refusals(base)
    assert "at least 10" in by_connect
    assert by_connect in by_llm


def test_a_models_id_may_have_white_space_around_it(variables, base):
    assert GradientLLM(model=f" {base.id}\r\n").invoke("x") == "echo: x"


def test_a_form_for_an_endpoint_takes_a_token_with_a_line_break(server):
    form = forms.connect_form()
    form.where.value = HOSTED
    form.url.value, form.token.value, form.workspace.value = f"{server.url}\r", f"{TOKEN}\r\n", f" {WORKSPACE}"
    form._test.click()
    form.wait(20)
    assert f"{len(ALL_MODELS)} models" in form._status.value
