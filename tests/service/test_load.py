"""A room on one service, over HTTP with a fake engine: fair, bounded, patient clients, no work for who has left."""

from __future__ import annotations

import json
import socket
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import pytest
from gradientai.openapi.client.exceptions import ServiceException

from helpers import GradientError, GradientLLM, sdk
from helpers.service import scheduler
from helpers.service.catalog import ALL_MODELS
from tests.conftest import TOKEN, WORKSPACE
from tests.support.http_call import BASE_ID, HEADERS, call, request_bytes
from tests.support.waiting import wait_until

COMPLETE = f"/api/models/{BASE_ID}/complete"


def send(server, method: str, path: str, body=None, workspace: str = WORKSPACE) -> socket.socket:
    """Sends a request and returns the open socket, without waiting for an answer."""
    address = urlsplit(server.url)
    raw = b"" if body is None else json.dumps(body).encode()
    client = socket.create_connection((address.hostname, address.port), timeout=10)
    client.sendall(request_bytes(method, path, raw, **{"x-gradient-workspace-id": workspace}))
    return client


@pytest.fixture
def waiting(server):
    """How many requests wait or run now."""
    return lambda: sum(map(len, server.status.calls._scheduler._requests.values()))


@pytest.fixture
def full(server, engine, monkeypatch, waiting):
    """A service that is really full: every worker works and every place is taken, until the test lets go."""
    monkeypatch.setattr(scheduler, "MAX_WAITING", 4)
    engine.complete_seconds = 60.0
    workers = engine.places.completions
    clients = []
    for number in range(workers + 4):  # each its own workspace, so that no one is greedier than another
        clients.append(send(server, "POST", COMPLETE, {"query": "q"}, f"w{number}"))
        wait_until(lambda taken=number + 1: waiting() == taken)

    def let_go() -> None:
        engine.complete_seconds = 0.0
        for client in clients:
            client.close()

    yield let_go
    let_go()
    wait_until(lambda: waiting() == 0)


def client(server, workspace: str = WORKSPACE):
    """What connect() gives."""
    return sdk.client(server.url, TOKEN, workspace)


def test_past_the_bound_it_is_503_with_retry_after_and_a_sentence(server, full):
    status, answer, headers = call(server, "POST", COMPLETE, {"query": "q"})
    assert (status, answer["type"], headers["retry-after"]) == (503, "failed", "2")
    assert "try again" in answer["message"]


def test_a_full_service_goes_on_listing_and_creating(server, full):
    model = {"model": {"name": "mine", "baseModelId": BASE_ID}}
    assert call(server, "POST", "/api/models", model)[0] == 200
    assert len(call(server, "GET", "/api/models")[1]["models"]) == len(ALL_MODELS) + 1


@pytest.fixture
def quick_retries(monkeypatch):
    """The pauses between retries a hundredth as long; their number stays."""
    monkeypatch.setattr(sdk, "BUSY_SECONDS", 0.02)


def test_connects_client_waits_until_a_full_service_has_room(server, full, quick_retries, monkeypatch):
    refused = refusals_seen(monkeypatch)
    base = client(server).get_base_model(base_model_slug="nous-hermes2")
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(base.complete, query="q")
        wait_until(lambda: len(refused) >= 2)
        full()
        assert answer.result(10).generated_output == "echo: q"
    assert 2 <= len(refused) <= sdk.BUSY_RETRIES


def refusals_seen(monkeypatch) -> list:
    """Every refusal of a full service, as it happens."""
    refused = []
    real = scheduler._busy
    monkeypatch.setattr(scheduler, "_busy", lambda: (refused.append(1), real())[1])
    return refused


def test_connects_client_gives_up_after_its_retries_with_the_services_sentence(
    server, full, quick_retries, monkeypatch
):
    refused = refusals_seen(monkeypatch)
    base = client(server).get_base_model(base_model_slug="nous-hermes2")
    with pytest.raises(ServiceException) as refusal:
        base.complete(query="q")
    assert refusal.value.status == 503
    assert "more requests than it can take" in json.loads(refusal.value.body)["message"]
    assert len(refused) == 1 + sdk.BUSY_RETRIES


def test_gradient_llm_waits_and_gives_up_likewise(server, full, quick_retries, monkeypatch):
    refused = refusals_seen(monkeypatch)
    llm = GradientLLM(
        model=BASE_ID, gradient_access_token=TOKEN, gradient_workspace_id=WORKSPACE, gradient_api_url=server.url
    )
    with pytest.raises(GradientError, match="more requests than it can take, and nothing was done: try again") as error:
        llm.invoke("q")
    assert (error.value.status, len(refused)) == (503, 1 + sdk.BUSY_RETRIES)
    full()
    assert llm.invoke("q") == "echo: q"


def test_no_pause_is_longer_than_the_limit_whatever_an_endpoint_asks_for(server):
    retries = client(server)._api_client.rest_client.pool_manager.connection_pool_kw["retries"]

    class Answer:
        headers = {"Retry-After": "3600"}

    assert retries.get_retry_after(Answer()) == sdk.BUSY_SECONDS
    assert retries.new().get_retry_after(Answer()) == sdk.BUSY_SECONDS  # retries make a new one each time


def test_two_hundred_requests_of_one_learner_do_not_starve_the_other_29(server, engine):
    """All at once, 50 ms each: the others are done while most of the two hundred still wait."""
    engine.complete_seconds = 0.05
    greedy = [send(server, "POST", COMPLETE, {"query": f"greedy {number}"}, "greedy") for number in range(200)]
    wait_until(lambda: len(engine.requests) >= 6)
    others = [
        send(server, "POST", COMPLETE, {"query": f"learner {number}"}, f"learner_{number}") for number in range(29)
    ]
    for other in others:
        assert other.recv(15) == b"HTTP/1.1 200 OK"
    order = [request.prompt for request, _, _ in engine.requests]
    before = order[: 1 + max(place for place, prompt in enumerate(order) if prompt.startswith("learner"))]
    assert sum(prompt.startswith("greedy") for prompt in before) < 70
    assert all(one.recv(15) == b"HTTP/1.1 200 OK" for one in greedy)  # and none of theirs was refused
    for one in [*greedy, *others]:
        one.close()


def test_a_client_that_hangs_up_while_it_waits_leaves_the_queue(server, engine, waiting, monkeypatch):
    engine.complete_seconds = 60.0
    _, share = scheduler.limits(engine.places)[scheduler.Kind.COMPLETE]
    running = [send(server, "POST", COMPLETE, {"query": "runs"}) for _ in range(share)]
    queued = send(server, "POST", COMPLETE, {"query": "waits"})
    wait_until(lambda: waiting() == share + 1)
    queued.close()
    wait_until(lambda: waiting() == share)
    assert all(request.prompt == "runs" for request, _, _ in engine.requests)
    for one in running:
        one.close()
    wait_until(lambda: waiting() == 0)
    assert engine.given_up == share  # what ran was ended too, long before its minute was over


def test_a_fine_tune_whose_client_hangs_up_changes_nothing(server, engine, waiting):
    _, made, _ = call(server, "POST", "/api/models", {"model": {"name": "mine", "baseModelId": BASE_ID}})
    path = f"/api/models/{made['id']}"
    assert call(server, "POST", f"{path}/fine-tune", {"samples": [{"inputs": "kept"}]})[0] == 200
    engine.tune_seconds = 60.0
    runs = send(server, "POST", f"{path}/fine-tune", {"samples": [{"inputs": "lost"}]})
    wait_until(lambda: len(engine.tunings) == 2)
    waits = send(server, "POST", f"{path}/fine-tune", {"samples": [{"inputs": "lost too"}]})
    wait_until(lambda: waiting() == 2)
    waits.close()
    wait_until(lambda: waiting() == 1)
    runs.close()
    wait_until(lambda: waiting() == 0)
    assert (len(engine.tunings), engine.given_up) == (2, 1)
    assert call(server, "POST", f"{path}/complete", {"query": "q"})[1]["generatedOutput"] == "kept"
    engine.tune_seconds = 0.0
    assert call(server, "POST", f"{path}/fine-tune", {"samples": [{"inputs": "next"}]})[0] == 200
    assert call(server, "POST", f"{path}/complete", {"query": "q"})[1]["generatedOutput"] == "next"


def test_a_deletion_whose_client_hangs_up_in_the_queue_deletes_nothing(server, engine, waiting):
    _, made, _ = call(server, "POST", "/api/models", {"model": {"name": "mine", "baseModelId": BASE_ID}})
    engine.complete_seconds = 60.0
    running = send(server, "POST", f"/api/models/{made['id']}/complete", {"query": "q"})
    wait_until(lambda: len(engine.requests) == 1)
    deletion = send(server, "DELETE", f"/api/models/{made['id']}")
    wait_until(lambda: waiting() == 2)
    deletion.close()
    wait_until(lambda: waiting() == 1)
    running.close()
    wait_until(lambda: waiting() == 0)
    assert call(server, "GET", f"/api/models/{made['id']}")[0] == 200


def test_hanging_up_is_no_crash_and_no_traceback(server, engine, waiting, caplog):
    engine.complete_seconds = 60.0
    running = send(server, "POST", COMPLETE, {"query": "q"})
    wait_until(lambda: len(engine.requests) == 1)
    running.close()
    wait_until(lambda: waiting() == 0)
    engine.complete_seconds = 0.0
    assert call(server, "POST", COMPLETE, {"query": "next"})[0] == 200
    assert not [record for record in caplog.records if record.exc_info or record.levelname == "ERROR"]


def test_a_client_that_stays_gets_its_answer_on_a_connection_it_keeps(server):
    """Watching for a hang-up takes nothing from a connection that is used again."""
    address = urlsplit(server.url)
    import http.client

    kept = http.client.HTTPConnection(address.hostname, address.port, timeout=10)
    for number in range(3):
        kept.request("POST", COMPLETE, json.dumps({"query": f"{number}"}), HEADERS)
        assert json.loads(kept.getresponse().read())["generatedOutput"] == f"echo: {number}"
    kept.close()


def test_learners_who_tune_at_the_same_time_all_get_their_own_answer(server, engine):
    engine.tune_seconds = 0.005

    def learner(number: int) -> str:
        mine = client(server, f"learner_{number}")
        adapter = mine.get_base_model(base_model_slug="nous-hermes2").create_model_adapter(name="mine")
        adapter.fine_tune(samples=[{"inputs": f"fact {number}"}])
        return adapter.complete(query="q").generated_output

    with ThreadPoolExecutor(30) as room:
        assert list(room.map(learner, range(30))) == [f"fact {number}" for number in range(30)]
