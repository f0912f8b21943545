"""Tokens over HTTP: those of the model, to those with a token, and from GradientLLM without a network."""

from __future__ import annotations

import socket

import pytest
from langchain_core.messages import HumanMessage

from helpers import GradientError, GradientLLM, forms, next_tokens, show_tokens
from helpers.service.engine import Engine
from tests.conftest import TOKEN, WORKSPACE
from tests.stub.server import ThreadedServer
from tests.support.fake_engine import FakeEngine
from tests.support.http_call import HEADERS, call

TEXT = "Hello there world"


class Mute(FakeEngine):
    """An engine that has no model to ask for its tokens."""

    tokenize, next_tokens = Engine.tokenize, Engine.next_tokens


@pytest.fixture
def llm(server, base) -> GradientLLM:
    settings = {"gradient_access_token": TOKEN, "gradient_workspace_id": WORKSPACE, "gradient_api_url": server.url}
    return GradientLLM(model=base.id, **settings)


def test_the_service_gives_the_tokens_of_its_model(server):
    assert call(server, "POST", "/tokens", {"text": TEXT})[:2] == (200, {"tokens": [5, 5, 5], "pieces": TEXT.split()})


@pytest.mark.parametrize("body", [{}, {"text": ""}, {"text": 5}, {"text": "x", "more": 1}, []])
def test_a_body_that_is_not_right_is_refused(server, body):
    status, answer, _ = call(server, "POST", "/tokens", body)
    assert (status, answer["type"]) == (400, "bodyParsingError")


@pytest.mark.parametrize("without", ["Authorization", "x-gradient-workspace-id"])
def test_tokens_are_for_those_who_may_call(server, without):
    headers = {name: value for name, value in HEADERS.items() if name.lower() != without.lower()}
    assert call(server, "POST", "/tokens", {"text": TEXT}, headers)[0] in (400, 401)


def test_langchain_counts_them_without_a_network(llm, server, monkeypatch):
    real = socket.create_connection
    asked = []

    def noted(address, *arguments, **options):
        asked.append(address[0])
        return real(address, *arguments, **options)

    monkeypatch.setattr(socket, "create_connection", noted)
    assert llm.get_num_tokens(TEXT) == 3
    assert llm.get_token_ids("") == []
    assert llm.get_num_tokens_from_messages([HumanMessage(TEXT)]) >= 3
    assert set(asked) <= {"127.0.0.1"}


def test_ones_own_count_wins(llm):
    assert llm.model_copy(update={"custom_get_token_ids": lambda text: [1, 2]}).get_num_tokens(TEXT) == 2


def test_another_endpoint_is_said_so(server, base, monkeypatch, llm):
    monkeypatch.setattr("helpers.local_service._json", lambda text: {})
    with pytest.raises(GradientError, match="Only the local service counts tokens"):
        llm.get_num_tokens(TEXT)


def test_an_engine_without_tokens_says_so(tmp_path, base):
    running = ThreadedServer(Mute(), tmp_path, TOKEN).start()
    try:
        settings = {"gradient_access_token": TOKEN, "gradient_workspace_id": WORKSPACE}
        llm = GradientLLM(model=base.id, gradient_api_url=running.url, **settings)
        with pytest.raises(GradientError, match="no tokens to count"):
            llm.get_num_tokens(TEXT)
    finally:
        running.stop()


def test_the_likeliest_next_tokens_are_given_of_a_base_model_and_of_an_adapter(server, base):
    adapter = base.create_model_adapter(name="a")
    for model, probability in ((base, 0.5), (adapter, 0.75)):
        status, answer, _ = call(server, "POST", "/next-tokens", {"model": model.id, "prompt": TEXT, "count": 2})
        assert status == 200
        assert answer["next"][0] == {"token": 0, "piece": " word0", "probability": probability}
        assert len(answer["next"]) == 2
    assert call(server, "POST", "/next-tokens", {"model": "x", "prompt": TEXT})[0] == 404


@pytest.mark.parametrize("more", [{"count": 0}, {"count": 1001}, {"count": "1"}, {"prompt": ""}, {"more": 1}])
def test_a_wrong_body_for_next_tokens_is_refused(server, base, more):
    status, answer, _ = call(server, "POST", "/next-tokens", {"model": base.id, "prompt": TEXT, **more})
    assert (status, answer["type"]) == (400, "bodyParsingError")


def test_next_tokens_are_for_those_who_may_call(server, base):
    body = {"model": base.id, "prompt": TEXT}
    assert call(server, "POST", "/next-tokens", body, {"Content-Type": "application/json"})[0] == 401


def test_tokens_are_shown_in_frames_with_their_white_space(base):
    shown = show_tokens(base, "<b> there")._repr_html_()
    assert "&lt;b&gt;" in shown
    assert "2 tokens" in shown
    assert show_tokens(base, "")._repr_html_().count("<span") == 1


def test_next_tokens_say_what_a_draw_makes_of_them(base):
    found = next_tokens(base, TEXT)
    assert repr(found).startswith(" 50.0% ' word0'\n 25.0% ' word1'")
    assert found.sampled(temperature=0).probabilities == {" word0": 1.0}
    assert list(found.sampled(top_k=2).probabilities) == [" word0", " word1"]
    assert found.sampled(top_k=2).probabilities[" word0"] == pytest.approx(2 / 3)
    assert list(found.sampled(top_p=0.7).probabilities) == [" word0", " word1"]
    flat, steep = (found.sampled(temperature=t, top_k=2).probabilities[" word0"] for t in (2.0, 0.5))
    assert flat == pytest.approx(2**0.5 / (1 + 2**0.5))
    assert steep == pytest.approx(0.8)
    assert "␣word0 0.5" in found.plot(temperature=0.5)._repr_html_()
    for wrong in ({"temperature": -1}, {"top_k": 0}, {"top_p": 0}):
        with pytest.raises(ValueError, match="at least"):
            found.sampled(**wrong)


def test_the_sampling_form_draws_and_gives_its_line(base):
    form = forms.sampling_form(base, TEXT)
    form._run.click()
    assert form.wait().probabilities[" word0"] == 0.5
    form.top_k.value = 1
    assert "␣word0 1" in form._chart.value
    assert form.code == f"next_tokens(base, {TEXT!r}).plot(temperature=1, top_k=1, top_p=1)"
    form.prompt.value = ""
    form._run.click()
    form.wait()
    assert ">The prompt is empty" in form._status.value  # with no name of an exception before it


def test_another_endpoint_shows_no_tokens(base, monkeypatch):
    monkeypatch.setattr("helpers.local_service._json", lambda text: {})
    for show in (show_tokens, next_tokens):
        with pytest.raises(GradientError, match="Only the local service shows"):
            show(base, TEXT)
