"""Tokens over HTTP: those of the model, to those with a token, and from GradientLLM without a network."""

from __future__ import annotations

import socket

import pytest
from langchain_core.messages import HumanMessage

from helpers import GradientError, GradientLLM
from tests.conftest import TOKEN, WORKSPACE
from tests.stub.recorded_engine import RecordedEngine
from tests.stub.server import ThreadedServer
from tests.support.http_call import HEADERS, call

TEXT = "Hello there world"


@pytest.fixture
def llm(server, base) -> GradientLLM:
    settings = {"gradient_access_token": TOKEN, "gradient_workspace_id": WORKSPACE, "gradient_api_url": server.url}
    return GradientLLM(model=base.id, **settings)


def test_the_service_gives_the_tokens_of_its_model(server):
    assert call(server, "POST", "/tokens", {"text": TEXT})[:2] == (200, {"tokens": [5, 5, 5]})


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
    running = ThreadedServer(RecordedEngine({}, "a model"), tmp_path, TOKEN).start()
    try:
        settings = {"gradient_access_token": TOKEN, "gradient_workspace_id": WORKSPACE}
        llm = GradientLLM(model=base.id, gradient_api_url=running.url, **settings)
        with pytest.raises(GradientError, match="no tokens to count"):
            llm.get_num_tokens(TEXT)
    finally:
        running.stop()
