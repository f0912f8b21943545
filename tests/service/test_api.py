"""The six model calls through the unmodified SDK, and every refusal through raw HTTP. The engine is a fake."""

from __future__ import annotations

import json
import re
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
from gradientai import CapabilityFilterOption
from gradientai.openapi.client.exceptions import BadRequestException, NotFoundException, ServiceException

from helpers import __version__
from helpers.service import refusals
from helpers.service.calls import Limits
from helpers.service.catalog import ALL_MODELS
from helpers.service.http.guard import MAX_BODY_BYTES
from tests.conftest import TOKEN, WORKSPACE
from tests.support.http_call import BASE_ID, HEADERS, THEIRS, call, fetch


def message_of(error) -> str:
    return json.loads(error.body)["message"]


# --- what works, through the SDK


def test_the_classic_base_models_come_last_with_their_order_ids_and_slugs(gradient):
    """LangChain's page takes the last one, and its readers compare the list."""
    models = gradient.list_models(only_base=True)
    assert [(model.id, model.slug) for model in models[-3:]] == [
        ("99148c6d-c2a0-4fbe-a4a7-e7c05bdb8a09_base_ml_model", "bloom-560m"),
        ("f0b97d96-51a8-4040-8b22-7940ee1fa24e_base_ml_model", "llama2-7b-chat"),
        ("cc2dafce-9e6e-4a23-a918-cad6ba89e42e_base_ml_model", "nous-hermes2"),
    ]
    assert all(len(model.id) == 50 for model in models)


@pytest.mark.parametrize("slug", ["bloom-560m", "llama2-7b-chat", "nous-hermes2", "llama3-8b-chat", "llama3-70b-chat"])
def test_every_slug_that_public_programs_ask_for_answers_and_takes_adapters(gradient, slug):
    base = gradient.get_base_model(base_model_slug=slug)
    assert base.complete(query="hello").generated_output == "echo: hello"
    adapter = base.create_model_adapter(name="mine")
    assert gradient.get_model_adapter(model_adapter_id=adapter.id).base_model_id == base.id


def test_base_model_names_tell_which_weights_answer(server):
    _, answer, _ = call(server, "GET", "/api/models?onlyBase=true")
    assert all("FakeModel" in model["name"] for model in answer["models"])


@pytest.mark.parametrize("capability", list(CapabilityFilterOption))
def test_every_model_has_every_capability(gradient, base, capability):
    base.create_model_adapter(name="mine")
    assert len(gradient.list_models(only_base=False, capability=capability)) == len(ALL_MODELS) + 1


def test_only_base_leaves_adapters_out(gradient, base):
    base.create_model_adapter(name="mine")
    assert len(gradient.list_models(only_base=True)) == len(ALL_MODELS)


def test_an_adapter_is_created_listed_fetched_and_deleted(gradient, base):
    adapter = base.create_model_adapter(name="mine", rank=4, learning_rate=1e-3)
    assert len(adapter.id) == 50
    fetched = gradient.get_model_adapter(model_adapter_id=adapter.id)
    assert (fetched.name, fetched.base_model_id) == ("mine", base.id)
    assert adapter.id in [model.id for model in gradient.list_models(only_base=False)]
    adapter.delete()
    assert adapter.id not in [model.id for model in gradient.list_models(only_base=False)]
    with pytest.raises(NotFoundException):
        adapter.complete(query="hello")


def test_completion_parameters_reach_the_engine(base, engine):
    guidance = {"type": "choice", "value": ["yes", "no"]}
    answer = base.complete(
        query="q",
        auto_template=True,
        max_generated_token_count=511,
        temperature=0.5,
        top_k=3,
        top_p=0.9,
        guidance=guidance,
    )
    request, slug, adapter = engine.requests[-1]
    assert (request.prompt, request.auto_template, request.max_tokens) == ("q", True, 511)
    assert (request.temperature, request.top_k, request.top_p, request.choices) == (0.5, 3, 0.9, ("yes", "no"))
    assert (slug, adapter, answer.generated_output) == ("nous-hermes2", None, "yes")


def test_absent_auto_template_means_raw_text(base, engine):
    base.complete(query="q")
    assert engine.requests[-1][0].auto_template is False


def test_fine_tuning_changes_the_adapter_and_no_other(base):
    first, second = base.create_model_adapter(name="a"), base.create_model_adapter(name="b")
    outcome = first.fine_tune(samples=[{"inputs": "the new answer"}])
    assert (outcome.number_of_trainable_tokens, outcome.sum_loss) == (1, 10.0)
    assert first.complete(query="q").generated_output == "the new answer"
    assert second.complete(query="q").generated_output == "echo: q"
    assert base.complete(query="q").generated_output == "echo: q"


def test_structured_samples_reach_the_engine(base, engine):
    adapter = base.create_model_adapter(name="a", rank=32, learning_rate=0.5)
    parts = [{"value": "Q: ", "trainable": False}, {"value": "A<|im_end|>", "parse_special_tokens": False}]
    adapter.fine_tune(samples=[{"inputs": parts, "multiplier": 2.5}])
    (sample,), state = engine.tunings[-1]
    assert [(part.text, part.trainable, part.parse_special_tokens) for part in sample.parts] == [
        ("Q: ", False, True),
        ("A<|im_end|>", True, False),
    ]
    assert (sample.multiplier, state.rank, state.learning_rate) == (2.5, 32, 0.5)


def test_what_stands_beside_the_inputs_of_a_sample_is_ignored(server, base, engine):
    """Data sets have columns of their own, and the Node SDK passes them on."""
    adapter = base.create_model_adapter(name="a")
    samples = [{"inputs": "x", "id": 7, "source": {"page": None}}, {"inputs": [{"value": "y"}], "label": "z"}]
    assert call(server, "POST", f"/api/models/{adapter.id}/fine-tune", {"samples": samples})[0] == 200
    assert [[part.text for part in sample.parts] for sample in engine.tunings[-1][0]] == [["x"], ["y"]]


@pytest.mark.parametrize("optim", ["adamw_torch", None, {"name": "sgd"}])
def test_an_optimizer_is_ignored(server, engine, optim):
    body = {"name": "n", "baseModelId": BASE_ID}
    settings = {"trainingArguments": {"learningRate": 1e-5, "optim": optim}}
    assert call(server, "POST", "/api/models", {"model": body, "initialHyperparameters": settings})[0] == 200


def test_one_call_takes_thousands_of_samples(base, engine):
    base.create_model_adapter(name="a").fine_tune(samples=[{"inputs": f"fact {number}"} for number in range(3000)])
    assert len(engine.tunings[-1][0]) == 3000


FINE_TUNE = {"samples": [{"inputs": [{"value": "x"}], "fineTuningParameters": {"multiplier": 1.0}}]}
CREATE = {"model": {"name": "n", "baseModelId": BASE_ID}, "initialHyperparameters": {"trainingArguments": {}}}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("fine-tune", {**FINE_TUNE, "sampels": []}),
        ("fine-tune", {"samples": [{"inputs": [{"value": "x", "trainabel": False}]}]}),
        ("fine-tune", {"samples": [{"inputs": "x", "fineTuningParameters": {"multiplyer": 1.0}}]}),
        ("", {**CREATE, "rank": 4}),
        ("", {**CREATE, "initialHyperparameters": {"trainingArguments": {"learningRat": 0.1}}}),
    ],
)
def test_a_misspelt_field_is_refused_by_its_name_everywhere_else(server, base, path, body):
    path = f"/api/models/{base.create_model_adapter(name='a').id}/{path}" if path else "/api/models"
    status, answer, _ = call(server, "POST", path, body)
    assert (status, answer["type"]) == (400, "bodyParsingError")
    assert "there is no field" in answer["message"]


def test_another_workspace_sees_nothing(server, base):
    adapter = base.create_model_adapter(name="mine")
    for method, path in [("GET", ""), ("DELETE", ""), ("POST", "/complete"), ("POST", "/fine-tune")]:
        body = {"/complete": {"query": "q"}, "/fine-tune": {"samples": [{"inputs": "x"}]}}.get(path)
        found = call(server, method, f"/api/models/{adapter.id}{path}", body, THEIRS)
        never_was = call(server, method, f"/api/models/{uuid.uuid4()}_model_adapter{path}", body, THEIRS)
        assert found[0] == never_was[0] == 404
        assert found[1]["type"] == never_was[1]["type"] == "unknownModelAdapter"


def test_a_workspace_has_a_limit_of_adapters_and_other_workspaces_do_not_count(server, engine, base, tmp_path):
    server.use(engine, tmp_path / "data", Limits(adapters=3))
    body = {"model": {"name": "n", "baseModelId": BASE_ID}}
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: call(server, "POST", "/api/models", body)[:2], range(8)))
    assert sorted(status for status, _ in answers) == [200] * 3 + [409] * 5
    message = next(answer["message"] for status, answer in answers if status == 409)
    assert message.startswith("This workspace has 3 adapters")
    assert "delete" in message
    assert call(server, "POST", "/api/models", body, {**HEADERS, "x-gradient-workspace-id": "another"})[0] == 200
    made = next(answer["id"] for status, answer in answers if status == 200)
    assert call(server, "DELETE", f"/api/models/{made}")[0] == 200
    base.create_model_adapter(name="again")
    assert call(server, "POST", "/api/models", body)[0] == 409


# --- refusals: one envelope, the right status, a sentence, and the next request is fine

NESTED = "[" * 100_000 + "]" * 100_000
REFUSALS = [
    ("no JSON", "POST", f"/api/models/{BASE_ID}/complete", "{not json", 400, "bodyParsingError"),
    ("no body", "POST", f"/api/models/{BASE_ID}/complete", None, 400, "bodyParsingError"),
    ("not UTF-8", "POST", f"/api/models/{BASE_ID}/complete", b'{"query": "\xff\xfe"}', 400, "bodyParsingError"),
    ("nested", "POST", f"/api/models/{BASE_ID}/complete", NESTED, 400, "bodyParsingError"),
    ("a list", "POST", f"/api/models/{BASE_ID}/complete", [], 400, "bodyParsingError"),
    ("wrong type", "POST", f"/api/models/{BASE_ID}/complete", {"query": 3}, 400, "bodyParsingError"),
    ("unknown field", "POST", f"/api/models/{BASE_ID}/complete", {"query": "q", "topq": 1}, 400, "bodyParsingError"),
    ("snake case", "POST", f"/api/models/{BASE_ID}/complete", {"query": "q", "top_k": 1}, 400, "bodyParsingError"),
    ("empty prompt", "POST", f"/api/models/{BASE_ID}/complete", {"query": ""}, 400, "bodyParsingError"),
    ("lone surrogate", "POST", f"/api/models/{BASE_ID}/complete", '{"query": "\\ud800"}', 400, "bodyParsingError"),
    ("NaN", "POST", f"/api/models/{BASE_ID}/complete", '{"query": "q", "temperature": NaN}', 400, "bodyParsingError"),
    ("infinity", "POST", f"/api/models/{BASE_ID}/complete", '{"query": "q", "topP": 1e999}', 400, "bodyParsingError"),
    ("cold", "POST", f"/api/models/{BASE_ID}/complete", {"query": "q", "temperature": -1}, 400, "bodyParsingError"),
    ("top k 0", "POST", f"/api/models/{BASE_ID}/complete", {"query": "q", "topK": 0}, 400, "bodyParsingError"),
    ("0 tokens", "POST", f"/api/models/{BASE_ID}/complete", {"query": "q", "maxGeneratedTokenCount": 0}, 400, None),
    ("512 tokens", "POST", f"/api/models/{BASE_ID}/complete", {"query": "q", "maxGeneratedTokenCount": 512}, 400, None),
    (
        "no choices",
        "POST",
        f"/api/models/{BASE_ID}/complete",
        {"query": "q", "guidance": {"type": "choice", "value": []}},
        400,
        None,
    ),
    (
        "blank choice",
        "POST",
        f"/api/models/{BASE_ID}/complete",
        {"query": "q", "guidance": {"type": "choice", "value": [" "]}},
        400,
        None,
    ),
    (
        "retrieval",
        "POST",
        f"/api/models/{BASE_ID}/complete",
        {"query": "q", "rag": {"collectionId": "c"}},
        404,
        "unknownRagCollection",
    ),
    (
        "unknown base",
        "POST",
        f"/api/models/{uuid.uuid4()}_base_ml_model/complete",
        {"query": "q"},
        404,
        "unknownBaseModel",
    ),
    (
        "unknown id",
        "POST",
        f"/api/models/{uuid.uuid4()}_model_adapter/complete",
        {"query": "q"},
        404,
        "unknownModelAdapter",
    ),
    ("path in the id", "GET", "/api/models/..%2F..%2Fetc%2Fpasswd", None, 404, None),
    (
        "tuning a base",
        "POST",
        f"/api/models/{BASE_ID}/fine-tune",
        {"samples": [{"inputs": "x"}]},
        400,
        "unknownModelAdapter",
    ),
    ("deleting a base", "DELETE", f"/api/models/{BASE_ID}", None, 400, "unknownModelAdapter"),
    ("no samples", "POST", f"/api/models/{BASE_ID}/fine-tune", {"samples": []}, 400, "bodyParsingError"),
    (
        "empty sample",
        "POST",
        f"/api/models/{BASE_ID}/fine-tune",
        {"samples": [{"inputs": ""}]},
        400,
        "bodyParsingError",
    ),
    ("no parts", "POST", f"/api/models/{BASE_ID}/fine-tune", {"samples": [{"inputs": []}]}, 400, "bodyParsingError"),
    (
        "number as sample",
        "POST",
        f"/api/models/{BASE_ID}/fine-tune",
        {"samples": [{"inputs": 3}]},
        400,
        "bodyParsingError",
    ),
    (
        "multiplier 0",
        "POST",
        f"/api/models/{BASE_ID}/fine-tune",
        {"samples": [{"inputs": "x", "fineTuningParameters": {"multiplier": 0}}]},
        400,
        None,
    ),
    (
        "long name",
        "POST",
        "/api/models",
        {"model": {"name": "n" * 10_000, "baseModelId": BASE_ID}},
        400,
        "bodyParsingError",
    ),
    (
        "NUL in a name",
        "POST",
        "/api/models",
        {"model": {"name": "a\0b", "baseModelId": BASE_ID}},
        400,
        "bodyParsingError",
    ),
    ("no name", "POST", "/api/models", {"model": {"name": "", "baseModelId": BASE_ID}}, 400, "bodyParsingError"),
    (
        "rank 33",
        "POST",
        "/api/models",
        {
            "model": {"name": "n", "baseModelId": BASE_ID},
            "initialHyperparameters": {"loraHyperparameters": {"rank": 33}},
        },
        400,
        None,
    ),
    (
        "rate 1",
        "POST",
        "/api/models",
        {
            "model": {"name": "n", "baseModelId": BASE_ID},
            "initialHyperparameters": {"trainingArguments": {"learningRate": 1}},
        },
        400,
        None,
    ),
    (
        "unknown base to adapt",
        "POST",
        "/api/models",
        {"model": {"name": "n", "baseModelId": "nope"}},
        404,
        "unknownBaseModel",
    ),
    ("bad query", "GET", "/api/models?capability=fly", None, 400, "queryOrPathParsingError"),
    ("wrong method", "PATCH", f"/api/models/{BASE_ID}", None, 404, None),
    ("unknown path", "GET", "/api/nothing", None, 404, None),
    ("unknown embeddings model", "POST", "/api/embeddings/bge-small", {"inputs": [{"input": "x"}]}, 404, "failed"),
    ("no texts", "POST", "/api/embeddings/bge-large", {"inputs": []}, 400, "bodyParsingError"),
    ("an empty text", "POST", "/api/embeddings/bge-large", {"inputs": [{"input": ""}]}, 400, "bodyParsingError"),
    ("257 texts", "POST", "/api/embeddings/bge-large", {"inputs": [{"input": "x"}] * 257}, 400, "bodyParsingError"),
    ("texts as strings", "POST", "/api/embeddings/bge-large", {"inputs": ["x"]}, 400, "bodyParsingError"),
    ("transcription", "POST", "/api/blocks/transcription", {"fileId": "x"}, 501, "failed"),
    ("its result", "GET", "/api/blocks/transcription?transcriptionId=x", None, 501, "failed"),
    ("a block that there is not", "POST", "/api/blocks/translate", {}, 404, None),
]


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "kind"), [row[1:] for row in REFUSALS], ids=[row[0] for row in REFUSALS]
)
def test_refusals_are_one_envelope_with_a_sentence(server, engine, method, path, body, status, kind):
    got, answer, headers = call(server, method, path, body)
    assert got == status, answer
    assert headers["content-type"] == "application/json"
    assert set(answer) <= {"message", "type", "payload"}
    assert len(answer["message"]) > 20
    assert "Traceback" not in answer["message"]
    if kind is not None:
        assert answer["type"] == kind
    if answer.get("type", "").endswith("ParsingError"):
        assert set(answer["payload"]) == {"formattedValidationError", "validationError"}
    assert call(server, "POST", f"/api/models/{BASE_ID}/complete", {"query": "next"})[0] == 200


@pytest.mark.parametrize(
    ("headers", "status", "word"),
    [
        ({"x-gradient-workspace-id": WORKSPACE}, 401, "Authorization"),
        ({**HEADERS, "Authorization": "Bearer wrong-token"}, 401, "GRADIENT_ACCESS_TOKEN"),
        ({**HEADERS, "Authorization": f"Basic {TOKEN}"}, 401, "Authorization"),
        ({"Authorization": f"Bearer {TOKEN}"}, 400, "x-gradient-workspace-id"),
        ({**HEADERS, "x-gradient-workspace-id": "../other"}, 400, "x-gradient-workspace-id"),
        ({**HEADERS, "x-gradient-workspace-id": "w" * 200}, 400, "x-gradient-workspace-id"),
    ],
    ids=["no token", "wrong token", "not bearer", "no workspace", "a path as workspace", "long workspace"],
)
def test_credentials_are_checked_before_anything_else(server, headers, status, word):
    got, answer, _ = call(server, "POST", f"/api/models/{BASE_ID}/complete", "{not json", headers)
    assert got == status
    assert word in answer["message"]
    assert TOKEN not in json.dumps(answer)


@pytest.mark.parametrize("chunked", [False, True], ids=["declared", "chunked"])
def test_a_huge_body_is_refused(server, chunked):
    body = json.dumps({"query": "x" * (MAX_BODY_BYTES + 1)}).encode()
    pieces = iter([body[:1_000_000]] * 9) if chunked else body
    try:
        status, answer, _ = call(server, "POST", f"/api/models/{BASE_ID}/complete", pieces if chunked else body)
    except (BrokenPipeError, ConnectionResetError):
        return  # the server may hang up before all of it is sent
    assert status == 413, answer
    assert "MB" in answer["message"]


def test_the_sdk_raises_its_typed_exceptions_with_our_sentence(base, gradient):
    with pytest.raises(BadRequestException) as bad:
        base.create_model_adapter(name="n" * 10_000)
    assert "name" in message_of(bad.value)
    with pytest.raises(NotFoundException) as missing:
        gradient.get_model_adapter(model_adapter_id=f"{uuid.uuid4()}_model_adapter")
    assert "list_models" in message_of(missing.value)
    with pytest.raises(ServiceException) as unserved:
        gradient.transcribe_audio(filepath=__file__)
    assert "transcribe" in message_of(unserved.value)


def test_an_engine_that_crashes_tells_nothing_but_a_sentence(server, engine):
    engine.fail = RuntimeError("secret detail")
    status, answer, _ = call(server, "POST", f"/api/models/{BASE_ID}/complete", {"query": "q"})
    assert (status, answer["type"]) == (500, "failed")
    assert "secret" not in json.dumps(answer)
    engine.fail = None
    assert call(server, "POST", f"/api/models/{BASE_ID}/complete", {"query": "q"})[0] == 200


def test_a_failed_fine_tune_leaves_the_adapter_as_it_was(base, engine):
    adapter = base.create_model_adapter(name="a")
    adapter.fine_tune(samples=[{"inputs": "kept"}])
    for failure in (refusals.LossRanAway(), OSError(28, "No space left on device"), RuntimeError("boom")):
        engine.fail = failure
        with pytest.raises((BadRequestException, ServiceException)):
            adapter.fine_tune(samples=[{"inputs": "lost"}])
        engine.fail = None
        assert adapter.complete(query="q").generated_output == "kept"


def test_a_full_disk_is_said_so(base, engine):
    adapter = base.create_model_adapter(name="a")
    engine.fail = OSError(28, "No space left on device")
    with pytest.raises(ServiceException) as full:
        adapter.fine_tune(samples=[{"inputs": "x"}])
    assert "No space left" in message_of(full.value)


def test_a_loading_service_says_so_and_a_ready_one_is_healthy(server):
    assert call(server, "GET", "/health", headers={})[:2] == (
        200,
        {"status": "ready", "instance": server.status.instance, "version": __version__},
    )
    calls, server.status.calls, server.status.doing = server.status.calls, None, "Downloading"
    status, health, _ = call(server, "GET", "/health", headers={})
    assert (status, health["status"], health["doing"]) == (503, "loading", "Downloading")
    status, answer, headers = call(server, "GET", "/api/models")
    assert (status, headers["retry-after"]) == (503, "2")
    assert "Downloading" in answer["message"]
    server.status.calls = calls


def test_the_page_of_calls_needs_no_network_and_leaves_nothing_out(server):
    status, page, headers = fetch(server, "GET", "/docs", headers={})
    page = page.decode()
    assert (status, headers["content-type"].split(";")[0]) == (200, "text/html")
    assert not re.search(r"//|<script|<link|<img|src=|url\(|@import", page)
    _, described, _ = call(server, "GET", "/openapi.json", headers={})
    for path, methods in described["paths"].items():
        assert all(f"<code>{method.upper()} {path}</code>" in page for method in methods)
    assert set(described["components"]["schemas"]) == set(re.findall(r'<h3 id="(\w+)">', page))
    assert set(re.findall(r'href="#(\w+)"', page)) <= set(described["components"]["schemas"])
    assert "<code>maxGeneratedTokenCount</code> (may be left out): integer, above 0, below 512 or null" in page
    for other in ("/redoc", "/docs/oauth2-redirect"):
        assert call(server, "GET", other, headers={})[0] == 404


def test_every_documented_path_is_in_the_openapi_page(server):
    _, page, _ = call(server, "GET", "/openapi.json", headers={})
    assert {"/api/models", "/api/models/{model_id}/complete", "/api/models/{model_id}/fine-tune"} <= set(page["paths"])
