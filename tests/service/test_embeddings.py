"""Embeddings through HTTP and the SDK, with a fake engine: form, order, isolation, what is counted and logged."""

from __future__ import annotations

import asyncio
import threading

import pytest

from helpers.service import commands, launcher, refusals
from helpers.service.engine import EMBEDDING_SIZE
from helpers.service.http import metrics
from tests.conftest import TOKEN, WORKSPACE
from tests.stub.recorded_engine import RecordedEngine, RecordingEngine
from tests.support.fake_engine import FakeEngine
from tests.support.http_call import THEIRS, call, fetch
from tests.support.waiting import wait_until

PATH = "/api/embeddings/bge-large"
TEXTS = ["the sea is wide", "bread", " ", "\n", "ünï ☃ 漢字", "\0"]


def inputs(*texts: str) -> dict:
    return {"inputs": [{"input": text} for text in texts]}


def test_the_models_there_are_is_the_one_that_the_sdk_takes(server, gradient):
    assert call(server, "GET", "/api/embeddings")[1] == {"embeddingsModels": [{"slug": "bge-large"}]}
    assert [model.slug for model in gradient.list_embeddings_models()] == ["bge-large"]


def test_vectors_come_in_the_order_of_the_texts(server, engine):
    status, answer, _ = call(server, "POST", PATH, inputs(*TEXTS))
    assert status == 200
    assert [one["index"] for one in answer["embeddings"]] == list(range(len(TEXTS)))
    assert [one["embedding"] for one in answer["embeddings"]] == engine.embed(TEXTS, threading.Event())


def test_the_sdk_embeds_alone_and_many_sync_and_async(gradient, engine):
    model = gradient.get_embeddings_model(slug="bge-large")
    wanted = [f"text {number}" for number in range(300)]
    expected = engine.embed(wanted, threading.Event())
    many = model.embed(inputs=[{"input": text} for text in wanted]).embeddings
    assert [one.index for one in many] == list(range(300))
    assert [one.embedding for one in many] == expected
    again = asyncio.run(model.aembed(inputs=[{"input": text} for text in wanted[:3]])).embeddings
    assert [one.embedding for one in again] == expected[:3]
    assert all(len(one.embedding) == EMBEDDING_SIZE for one in again)


def test_texts_and_tokens_are_counted_and_noted(server, monkeypatch):
    noted = []
    monkeypatch.setattr("helpers.service.logs.event", lambda name, *_, **fields: noted.append((name, fields)))
    before = metrics.read(fetch(server, "GET", "/metrics")[1].decode())
    call(server, "POST", PATH, inputs("one two three", "four"))
    after = metrics.read(fetch(server, "GET", "/metrics")[1].decode())
    grown = {name: after[name] - before.get(name, 0) for name in after if "embedded" in name and "total" in name}
    assert grown == {"gradient_embedded_texts_total": 2, "gradient_embedded_tokens_total": 4}
    [line] = [fields for name, fields in noted if fields.get("path") == PATH]
    assert (line["texts"], line["tokens"], line["workspace"]) == (2, 4, WORKSPACE)
    assert "three" not in str(noted)


def test_what_is_being_fetched_is_in_the_health_and_the_status(server, engine, monkeypatch, capsys, tmp_path):
    assert "doing" not in call(server, "GET", "/health", headers={})[1]
    engine.preparing = "Downloading the embeddings model (84 MB)", 0.25
    health = call(server, "GET", "/health", headers={})[1]
    assert (health["status"], health["doing"], health["progress"]) == ("ready", *engine.preparing)
    monkeypatch.setattr(launcher, "find", lambda _: launcher.Service(server.url, TOKEN, 1, "i"))
    commands.status(tmp_path)
    assert "Downloading the embeddings model (84 MB): 25% done." in capsys.readouterr().out


def test_a_download_that_takes_long_is_answered_with_how_far_it_is(server, engine):
    engine.fail = refusals.Busy("The embeddings model is not there yet.", 5)
    status, answer, headers = call(server, "POST", PATH, inputs("x"))
    assert (status, headers["retry-after"]) == (503, "5")
    assert "not there yet" in answer["message"]


def test_one_workspaces_many_texts_hold_up_no_other(server, engine):
    """Two compute at once and one of a workspace; what waits is the greedy one's own."""
    release = threading.Event()
    running, embed = [], engine.embed

    def held(texts, given_up):
        running.append(texts[0])
        if texts[0] == "slow":
            release.wait(10)
        return embed(texts, given_up)

    engine.embed = held
    mine = [threading.Thread(target=call, args=(server, "POST", PATH, inputs("slow"))) for _ in range(3)]
    for thread in mine:
        thread.start()
    wait_until(lambda: running == ["slow"])
    assert call(server, "POST", PATH, inputs("quick"), THEIRS)[0] == 200
    assert running == ["slow", "quick"]
    release.set()
    for thread in mine:
        thread.join(10)
    assert running == ["slow", "quick", "slow", "slow"]


def test_a_recording_gives_each_text_its_vector_in_any_company():
    real, given_up = FakeEngine(), threading.Event()
    recording = RecordingEngine(real)
    recording.embed(["a b", "c"], given_up)
    replaying = RecordedEngine(recording.recordings, real.weights_name)
    [vector] = replaying.embed(["c"], given_up)
    assert vector == pytest.approx(real.embed(["c"], given_up)[0], abs=1e-6)
    assert len(vector) == EMBEDDING_SIZE
    with pytest.raises(refusals.NotServed, match="no recording"):
        replaying.embed(["d"], given_up)
