"""GradientEmbeddings against the fake service: order, sizes, credentials, errors, and calls that no one waits for."""

from __future__ import annotations

import asyncio
import time

import pytest
from langchain_core.vectorstores import InMemoryVectorStore

from helpers import BadInput, GradientEmbeddings, GradientError, sdk
from helpers.environment import TOKEN_VARIABLE, URL_VARIABLE, WORKSPACE_VARIABLE
from helpers.service import refusals
from tests.conftest import TOKEN, WORKSPACE
from tests.support.waiting import wait_until

LONG = 20  # seconds of work that no one waits for


@pytest.fixture
def settings(server) -> dict[str, str]:
    return {
        "model": "bge-large",
        "gradient_access_token": TOKEN,
        "gradient_workspace_id": WORKSPACE,
        "gradient_api_url": server.url,
    }


def test_many_texts_are_sent_256_at_a_time_and_come_back_in_order(settings, engine, monkeypatch):
    sizes, embed = [], engine.embed
    monkeypatch.setattr(engine, "embed", lambda texts, given_up: sizes.append(len(texts)) or embed(texts, given_up))
    texts = [f"word{number}" for number in range(600)]
    found = GradientEmbeddings(**settings).embed_documents(texts)
    assert sorted(sizes) == [88, 256, 256]
    assert found == [embed([text], None)[0] for text in texts]
    assert asyncio.run(GradientEmbeddings(**settings).aembed_documents(texts)) == found


def test_no_texts_need_no_call(settings, engine):
    engine.fail = RuntimeError("asked")
    assert GradientEmbeddings(**settings).embed_documents([]) == []
    assert asyncio.run(GradientEmbeddings(**settings).aembed_documents([])) == []


def test_a_query_has_its_prompt_in_front(settings):
    plain, prompted = (
        GradientEmbeddings(**settings, query_prompt_for_retrieval=prompt) for prompt in (None, "search for:")
    )
    assert prompted.embed_query("the sea") == plain.embed_query("search for: the sea") != plain.embed_query("the sea")
    assert asyncio.run(prompted.aembed_query("the sea")) == prompted.embed_query("the sea")


def test_a_vector_store_of_langchain_finds_by_them(settings):
    store = InMemoryVectorStore(GradientEmbeddings(**settings))
    store.add_texts(["ships on the sea", "bread from the oven"])
    assert store.similarity_search("the oven", k=1)[0].page_content == "bread from the oven"


def test_credentials_come_from_the_environment_as_for_the_model(settings, monkeypatch):
    monkeypatch.setenv(TOKEN_VARIABLE, f" {TOKEN}\r\n")
    monkeypatch.setenv(WORKSPACE_VARIABLE, WORKSPACE)
    monkeypatch.setenv(URL_VARIABLE, settings["gradient_api_url"].removesuffix("/api"))
    embeddings = GradientEmbeddings(model=" bge-large ")
    assert len(embeddings.embed_query("x")) == 1024
    assert TOKEN not in repr(embeddings)


@pytest.mark.parametrize(
    ("changed", "word"),
    [
        ({"model": ""}, "model"),
        ({"gradient_access_token": "short"}, "printable ASCII"),
        ({"gradient_access_token": ""}, "access token is missing"),
        ({"gradient_workspace_id": "../x"}, "The workspace, GRADIENT_WORKSPACE_ID"),
        ({"gradient_api_url": ""}, "address is not"),
        ({"no_such_field": 1}, "no_such_field"),
    ],
)
def test_bad_settings_are_refused_when_it_is_built(settings, changed, word):
    with pytest.raises(BadInput, match=word) as refusal:
        GradientEmbeddings(**{**settings, **changed})
    assert TOKEN not in str(refusal.value)


def test_refusals_are_one_sentence(settings, server):
    with pytest.raises(GradientError, match="'bge-small'; .*bge-large") as unknown:
        GradientEmbeddings(**{**settings, "model": "bge-small"}).embed_query("x")
    assert unknown.value.status == 404
    with pytest.raises(GradientError, match="input"):
        GradientEmbeddings(**settings).embed_documents([""])
    with pytest.raises(GradientError, match="Nothing answers"):
        GradientEmbeddings(**{**settings, "gradient_api_url": "http://127.0.0.1:9/api"}).embed_query("x")


def test_one_string_is_no_list_of_texts(settings):
    with pytest.raises(BadInput, match="takes a list"):
        GradientEmbeddings(**settings).embed_documents("one text")


def test_a_moved_service_is_found(settings, server):
    embeddings = GradientEmbeddings(**{**settings, "gradient_api_url": "http://127.0.0.1:9/api"})
    sdk.move(("http://127.0.0.1:9/api", TOKEN), (server.url, TOKEN))
    assert len(embeddings.embed_query("x")) == 1024


def test_what_is_cancelled_ends_in_the_service_too(settings, engine):
    engine.embed_seconds = LONG
    started = time.monotonic()

    async def given_up_soon():
        task = asyncio.ensure_future(GradientEmbeddings(**settings).aembed_query("x"))
        await asyncio.sleep(0.3)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(given_up_soon())
    wait_until(lambda: engine.given_up == 1)
    assert time.monotonic() - started < LONG / 2


def test_one_call_of_several_that_fails_is_said(settings, engine, monkeypatch):
    embed = engine.embed

    def fails_for_few(texts, given_up):
        if len(texts) < 256:
            raise refusals.Failed("This call failed, as the test wants it.")
        return embed(texts, given_up)

    monkeypatch.setattr(engine, "embed", fails_for_few)
    with pytest.raises(GradientError, match="as the test wants"):
        GradientEmbeddings(**settings).embed_documents(["x"] * 257)
