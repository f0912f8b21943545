"""An adapter belongs to the weights it was tuned on: on others it is refused, kept as it is, and used again later."""

from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
from datetime import datetime, timezone

import pytest

from helpers import GradientError
from helpers.errors import one_sentence
from helpers.service import catalog
from helpers.service.local import model_files, portable
from helpers.service.local.wheel_files import WeightsError
from helpers.service.store import Store
from helpers.service.weights_identity import DEFAULT, WeightsIdentity
from tests.support.fake_engine import FakeEngine
from tests.support.http_call import call

OTHERS = WeightsIdentity("tiny-llama.Q8_0", "0123456789abcdef" * 4)
SAMPLES = [{"inputs": "learned"}]


@pytest.fixture
def restart(server, engine, tmp_path):
    """Goes on as a service on the same data folder that was started with other weights."""

    def with_weights(weights: WeightsIdentity | None) -> FakeEngine:
        new = FakeEngine()
        new.runs, new.named = weights, engine.named
        server.use(new, tmp_path / "data")
        return new

    return with_weights


def refused(server, adapter_id: str) -> list[str]:
    """The sentences with which completing and fine-tuning are refused."""
    bodies = {"complete": {"query": "q"}, "fine-tune": {"samples": SAMPLES}}
    answers = [call(server, "POST", f"/api/models/{adapter_id}/{name}", body) for name, body in bodies.items()]
    assert [(status, answer["type"]) for status, answer, _ in answers] == [(409, "unprocessableContent")] * 2
    return [answer["message"] for _, answer, _ in answers]


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        (DEFAULT, OTHERS, ("SmolLM2-135M-Instruct (SHA-256 b179c952…)", "start it without --model")),
        (
            OTHERS,
            DEFAULT,
            ("tiny-llama.Q8_0 (SHA-256 01234567…)", "start it with --model and the GGUF file of tiny"),
        ),
    ],
    ids=["the default's", "another model's"],
)
def test_an_adapter_is_refused_on_other_weights_with_what_to_start(
    server, base, engine, restart, tmp_path, first, second, words
):
    engine.runs = first
    adapter = base.create_model_adapter(name="mine")
    adapter.fine_tune(samples=SAMPLES)
    before = sorted(path for path in (tmp_path / "data" / "adapters").rglob("*"))
    other = restart(second)
    for sentence in refused(server, adapter.id):
        assert all(word in sentence for word in (*words, str(second)))
        assert "delete" not in sentence
    assert (other.requests, other.tunings) == ([], [])
    assert sorted(path for path in (tmp_path / "data" / "adapters").rglob("*")) == before
    restart(first)
    assert adapter.complete(query="q").generated_output == "learned"


def test_an_adapter_of_other_weights_is_listed_read_and_deleted(server, base, restart):
    adapter = base.create_model_adapter(name="mine")
    adapter.fine_tune(samples=SAMPLES)
    restart(OTHERS)
    assert adapter.id in [model["id"] for model in call(server, "GET", "/api/models")[1]["models"]]
    assert call(server, "GET", f"/api/models/{adapter.id}")[1]["name"] == "mine"
    assert call(server, "DELETE", f"/api/models/{adapter.id}")[0] == 200
    assert call(server, "GET", f"/api/models/{adapter.id}")[0] == 404


def test_an_adapter_that_was_never_tuned_belongs_to_the_weights_of_its_first_fine_tune(server, base, restart):
    adapter = base.create_model_adapter(name="mine")
    restart(OTHERS)
    assert adapter.complete(query="q").generated_output == "echo: q"
    adapter.fine_tune(samples=SAMPLES)
    restart(DEFAULT)
    assert len(refused(server, adapter.id)) == 2


def test_the_same_weights_in_a_file_of_another_name_are_the_same(base, restart):
    adapter = base.create_model_adapter(name="mine")
    restart(DEFAULT)
    adapter.fine_tune(samples=SAMPLES)
    restart(WeightsIdentity("a copy of it", DEFAULT.sha256))
    assert adapter.complete(query="q").generated_output == "learned"


def test_who_knows_no_weights_refuses_nothing(base, restart):
    adapter = base.create_model_adapter(name="mine")
    adapter.fine_tune(samples=SAMPLES)
    restart(None)
    assert adapter.complete(query="q").generated_output == "learned"


def test_the_refusal_reaches_a_notebook_as_one_sentence(gradient, base, restart):
    adapter = base.create_model_adapter(name="mine")
    adapter.fine_tune(samples=SAMPLES)
    restart(OTHERS)
    with pytest.raises(GradientError, match="FakeModel") as refusal, one_sentence("http://here"):
        adapter.complete(query="q")
    assert (refusal.value.status, refusal.value.type) == (409, "unprocessableContent")


# --- adapters of earlier versions of the service


def of_an_earlier_version(data) -> str:
    """A database without the columns of weights, with an adapter that was tuned once; returns its id."""
    adapter_id, now = catalog.new_adapter_id(), datetime.now(timezone.utc).isoformat()
    with sqlite3.connect(data / "adapters.sqlite3") as database:
        database.execute(
            "CREATE TABLE adapters (id TEXT PRIMARY KEY, workspace TEXT NOT NULL, name TEXT NOT NULL, base_model_id "
            "TEXT NOT NULL, rank INTEGER NOT NULL, learning_rate REAL NOT NULL, version INTEGER NOT NULL DEFAULT 0, "
            "updated TEXT NOT NULL)"
        )
        row = (adapter_id, "test_workspace", "old", catalog.CLASSIC_MODELS[0][0], 8, 2e-3, 1, now)
        database.execute("INSERT INTO adapters VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
    database.close()
    (data / "adapters" / adapter_id / "v1").mkdir(parents=True)
    (data / "adapters" / adapter_id / "v1" / "learned.json").write_text('["long ago"]')
    return adapter_id


@pytest.mark.parametrize("columns", [0, 1])
def test_a_database_of_an_earlier_version_is_brought_up_to_date(tmp_path, columns):
    adapter_id = of_an_earlier_version(tmp_path)
    if columns:  # a kill between the two
        with sqlite3.connect(tmp_path / "adapters.sqlite3") as database:
            database.execute("ALTER TABLE adapters ADD COLUMN weights_name TEXT")
        database.close()
    subject = Store(tmp_path)
    (adapter,) = subject.list("test_workspace")
    assert (adapter.id, adapter.version, adapter.weights) == (adapter_id, 1, None)
    kept = subject.commit(adapter, subject.new_folder(adapter), OTHERS)
    again = Store(tmp_path).get("test_workspace", adapter_id)
    assert (again, again.weights.name) == (kept, "tiny-llama.Q8_0")


@pytest.mark.parametrize(("named", "status"), [(None, 200), (OTHERS, 200), (DEFAULT, 409)])
def test_an_adapter_tuned_before_is_taken_for_what_its_folder_names(server, engine, restart, tmp_path, named, status):
    server.status.calls.close()
    (tmp_path / "data" / "adapters.sqlite3").unlink()
    adapter_id = of_an_earlier_version(tmp_path / "data")
    engine.named = named
    restart(OTHERS)
    assert call(server, "POST", f"/api/models/{adapter_id}/complete", {"query": "q"})[0] == status


@pytest.mark.parametrize(
    ("config", "found"),
    [
        ('{"base_model_name_or_path": "/of/someone/smollm2-135m-instruct-b179c952/huggingface-1"}', DEFAULT),
        (r'{"base_model_name_or_path": "C:\\cache\\smollm2-135m-instruct-b179c952\\huggingface-2"}', DEFAULT),
        ('{"base_model_name_or_path": "/of/someone/custom-0123456789abcdef/huggingface-2"}', None),
        ('{"base_model_name_or_path": "smollm2-135m-instruct-b179c952"}', None),
        ('{"base_model_name_or_path": null}', None),
        ("{}", None),
        ("[1]", None),
        ("{half", None),
        (None, None),
    ],
)
def test_a_folder_of_the_default_model_is_known_by_its_path(tmp_path, config, found):
    if config is not None:
        (tmp_path / "adapter_config.json").write_text(config)
    assert portable.weights_named_in(tmp_path) == found


# --- the SHA-256 of a file that --model names


@pytest.fixture
def file(tmp_path, monkeypatch):
    """A GGUF file, converted by copying it."""

    def convert(gguf, folder, progress):
        folder.mkdir(parents=True)
        shutil.copy(gguf, folder / "model.safetensors")

    monkeypatch.setattr(model_files, "convert", convert)
    file = tmp_path / "tiny-llama.Q8_0.gguf"
    file.write_bytes(b"weights" * 1000)
    return file


def test_the_sha_256_of_a_file_is_taken_once_and_kept(tmp_path, file, monkeypatch):
    expected = WeightsIdentity("tiny-llama.Q8_0", hashlib.sha256(file.read_bytes()).hexdigest())
    found = model_files.ensure(tmp_path / "cache", file)
    assert (found.identity, found.name) == (expected, "tiny-llama.Q8_0")
    monkeypatch.delattr(model_files, "_sha256_of")
    assert model_files.ensure(tmp_path / "cache", file).identity == expected
    assert sorted(path.name for path in found.folder.iterdir()) == ["gguf.sha256", "model.safetensors"]


@pytest.mark.parametrize("kept", ["half a digest", "\xff"])
def test_a_sha_256_that_is_missing_or_broken_is_taken_again(tmp_path, file, kept):
    found = model_files.ensure(tmp_path / "cache", file)
    (found.folder / model_files.SHA256_FILE).write_text(kept, encoding="latin-1")
    assert model_files.ensure(tmp_path / "cache", file) == found
    (found.folder / model_files.SHA256_FILE).unlink()  # a folder that an earlier version converted
    assert model_files.ensure(tmp_path / "cache", file) == found


def test_another_file_under_the_same_name_has_another_sha_256(tmp_path, file):
    first = model_files.ensure(tmp_path / "cache", file)
    file.write_bytes(b"others")
    second = model_files.ensure(tmp_path / "cache", file)
    assert first.name == second.name
    assert first.identity != second.identity


def test_the_default_models_identity_needs_no_file(tmp_path):
    assert model_files._default_weights(tmp_path).identity == DEFAULT
    with pytest.raises(WeightsError):
        model_files.ensure(tmp_path, tmp_path / "none.gguf")


def test_an_adapter_is_json_that_says_nothing_of_weights(server, base):
    """The API's own answers stay as they were."""
    adapter = base.create_model_adapter(name="mine")
    adapter.fine_tune(samples=SAMPLES)
    assert "weights" not in json.dumps(call(server, "GET", f"/api/models/{adapter.id}")[1]).lower()
