"""The files of adapters and of the base model over HTTP: whole, to their own workspace alone, and no other file."""

from __future__ import annotations

import json
import socket
import uuid
from urllib.parse import urlsplit

import pytest

from helpers.service import refusals
from helpers.service.http import export
from helpers.service.local import portable
from helpers.service.tuner import adapter_files
from helpers.service.tuner.llama import Llama
from helpers.service.weights_identity import DEFAULT, WeightsIdentity
from tests.service.test_isolation import ODD_IDS
from tests.stub.recorded_engine import RecordedEngine
from tests.support.http_call import HEADERS, THEIRS, call, fetch, request_bytes
from tests.support.small_model import random_lora, write_model
from tests.support.waiting import wait_until

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
OTHERS = WeightsIdentity("tiny-llama.Q8_0", "0123456789abcdef" * 4)
BIG = bytes(range(256)) * 4096 * 3 + b"the end"


@pytest.fixture
def adapter(base, engine, tmp_path) -> str:
    """The id of an adapter that was tuned; the engine has base files, one larger than a block."""
    for name, content in {"model.safetensors": BIG, "config.json": b"{}"}.items():
        (tmp_path / name).write_bytes(content)
        engine.base[name] = tmp_path / name
    made = base.create_model_adapter(name="mine")
    made.fine_tune(samples=[{"inputs": "learned"}])
    return made.id


def test_the_files_of_an_adapter_are_listed_and_served_whole(server, adapter):
    status, offer, _ = call(server, "GET", f"/export/adapters/{adapter}?withBase=true")
    assert status == 200
    assert (offer["id"], offer["name"], offer["baseName"]) == (adapter, "mine", "FakeModel")
    assert (offer["weightsName"], offer["weightsSha256"]) == ("FakeModel", "fa" * 32)
    served = {}
    for place, files in ((f"adapters/{adapter}", offer["files"]), ("base", offer["baseFiles"])):
        for file in files:
            status, served[file["name"]], headers = fetch(server, "GET", f"/export/{place}/{file['name']}")
            assert (status, len(served[file["name"]])) == (200, file["bytes"])
            assert (headers["content-length"], headers["x-request-id"] != "") == (str(file["bytes"]), True)
    assert served["model.safetensors"] == BIG
    assert json.loads(served[WEIGHTS]) == ["learned"]
    assert json.loads(served[CONFIG]) == {"base_model_name_or_path": "FakeModel"}
    assert call(server, "GET", f"/export/adapters/{adapter}")[1]["baseFiles"] == []


def test_the_default_weights_are_called_by_their_public_name(server, engine, base):
    engine.runs = DEFAULT
    made = base.create_model_adapter(name="mine")
    made.fine_tune(samples=[{"inputs": "learned"}])
    offer = call(server, "GET", f"/export/adapters/{made.id}")[1]
    assert (offer["baseName"], offer["weightsName"]) == (
        "HuggingFaceTB/SmolLM2-135M-Instruct",
        "SmolLM2-135M-Instruct",
    )


def test_weights_that_are_not_known_are_not_named(server, engine, base):
    engine.runs = None
    made = base.create_model_adapter(name="mine")
    made.fine_tune(samples=[{"inputs": "learned"}])
    offer = call(server, "GET", f"/export/adapters/{made.id}")[1]
    assert (offer["baseName"], offer["weightsName"], offer["weightsSha256"]) == ("FakeModel", None, None)


def test_an_adapter_that_was_never_tuned_has_nothing_to_hand_over(server, base):
    made = base.create_model_adapter(name="mine")
    for path in ("", f"/{CONFIG}", "?withBase=true"):
        status, answer, _ = call(server, "GET", f"/export/adapters/{made.id}{path}")
        assert (status, answer["message"]) == (409, refusals.NotTuned().message)


def test_on_other_weights_the_adapter_is_handed_over_and_the_base_is_not(server, engine, adapter):
    engine.runs = OTHERS
    assert call(server, "GET", f"/export/adapters/{adapter}")[1]["baseName"] == "FakeModel"
    assert json.loads(fetch(server, "GET", f"/export/adapters/{adapter}/{CONFIG}")[1]) == {
        "base_model_name_or_path": "FakeModel"
    }
    status, answer, _ = call(server, "GET", f"/export/adapters/{adapter}?withBase=true")
    assert (status, "FakeModel (SHA-256 fafafafa…)" in answer["message"]) == (409, True)


def test_a_service_without_a_model_says_that_it_has_no_files(server, tmp_path):
    class Recorded(RecordedEngine):
        _replay = staticmethod(lambda question: {"trainable_tokens": 1, "sum_loss": 1.0, "steps": 1})

    (tmp_path / "recorded").mkdir()
    server.use(Recorded({}, "recorded"), tmp_path / "recorded")
    base_id = server.status.calls.base_models()[0].id
    made = call(server, "POST", "/api/models", {"model": {"name": "n", "baseModelId": base_id}})[1]["id"]
    assert call(server, "POST", f"/api/models/{made}/fine-tune", {"samples": [{"inputs": "x"}]})[0] == 200
    status, answer, _ = call(server, "GET", f"/export/adapters/{made}")
    assert (status, "no files to hand over" in answer["message"]) == (501, True)


# --- the guard


def test_another_workspaces_adapter_is_answered_as_one_that_never_was(server, adapter):
    never = f"{uuid.uuid4()}_model_adapter"
    for path in ("", f"/{CONFIG}", f"/{WEIGHTS}", "?withBase=true", "/nothing"):
        found, missing = (
            fetch(server, "GET", f"/export/adapters/{id_}{path}", None, THEIRS) for id_ in (adapter, never)
        )
        assert (found[0], missing[0]) == (404, 404)
        assert found[1].replace(adapter.encode(), b"ID") == missing[1].replace(never.encode(), b"ID")
        assert [name for name in found[2] if name != "date"] == [name for name in missing[2] if name != "date"]


@pytest.mark.parametrize("place", ["adapters/{}", "adapters/{}/adapter_config.json", "base/config.json", "", "nothing"])
def test_the_guard_stands_before_every_file(server, adapter, place):
    path = f"/export/{place.format(adapter)}"
    without = {name: value for name, value in HEADERS.items() if name != "x-gradient-workspace-id"}
    for headers, expected in [
        ({}, 401),
        ({**HEADERS, "Authorization": "Bearer a-wrong-token"}, 401),
        (without, 400),
        ({**HEADERS, "Host": "example.com"}, 403),
    ]:
        assert call(server, "GET", path, headers=headers)[0] == expected
    calls, server.status.calls = server.status.calls, None
    assert call(server, "GET", path)[0] == 503
    server.status.calls = calls


ODD_FILES = [
    "learned.json",  # on disk beside the others, and not handed over
    "adapter.gguf",
    "optimizer.safetensors",
    "..%2f" + CONFIG,
    "..%2f..%2f..%2fadapters.sqlite3",
    "..",
    "%2e%2e%2f%2e%2e%2fservice.json",
    "..%5c..%5cadapters.sqlite3",
    CONFIG + "%00",
    CONFIG + "%2f",
    CONFIG.upper(),
    "/" + CONFIG,
    "C:%5CWindows",
    "%ff",
]


@pytest.mark.parametrize("name", ODD_FILES)
def test_no_other_file_is_served(server, adapter, name):
    for place in (f"adapters/{adapter}", "base"):
        status, answer, _ = call(server, "GET", f"/export/{place}/{name}")
        assert (status, answer["message"].isprintable()) == (404, True)


def test_what_is_no_id_is_unknown(server, adapter):
    for id_ in ODD_IDS:
        assert call(server, "GET", f"/export/adapters/{id_}/{CONFIG}")[0] == 404, id_


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"])
def test_files_are_only_read(server, adapter, method):
    for place in (f"adapters/{adapter}", f"adapters/{adapter}/{CONFIG}", "base/config.json"):
        assert fetch(server, method, f"/export/{place}")[0] == 404
    assert call(server, "GET", f"/export/adapters/{adapter}")[0] == 200


# --- what happens meanwhile


def test_files_that_a_fine_tune_has_just_replaced_are_looked_for_again(server, adapter, monkeypatch):
    real, gone = export._opened, [1]

    def opened(files, name):
        if gone.pop() if gone else False:
            raise FileNotFoundError
        return real(files, name)

    monkeypatch.setattr(export, "_opened", opened)
    assert json.loads(fetch(server, "GET", f"/export/adapters/{adapter}/{WEIGHTS}")[1]) == ["learned"]
    assert gone == []


def test_a_client_that_hangs_up_leaves_no_open_file(server, adapter, engine, tmp_path, monkeypatch):
    (tmp_path / "huge").write_bytes(BIG * 20)
    engine.base["huge"] = tmp_path / "huge"
    responses, real = [], export.OpenFileResponse

    def made(file):
        responses.append(real(file))
        return responses[-1]

    monkeypatch.setattr(export, "OpenFileResponse", made)
    address = urlsplit(server.url)
    with socket.create_connection((address.hostname, address.port), timeout=10) as connection:
        connection.sendall(request_bytes("GET", "/export/base/huge"))
        connection.recv(1000)
    wait_until(lambda: responses and responses[0]._file.closed)
    assert call(server, "GET", "/health")[0] == 200


# --- what the real engine hands over


def test_the_real_files_name_no_folder_of_this_machine(tmp_path):
    model = Llama(write_model(tmp_path / "model"))
    (folder := tmp_path / "adapter").mkdir()
    adapter_files.write(folder, random_lora(model, (2, 3)), {}, model)
    on_disk = json.loads((folder / CONFIG).read_text())
    files = portable.adapter_files(folder, "a/public-name")
    assert files[WEIGHTS] == folder / WEIGHTS
    assert json.loads(files[CONFIG]) == {**on_disk, "base_model_name_or_path": "a/public-name"}
    assert str(tmp_path) in on_disk["base_model_name_or_path"]  # what peft opens here, without a network
    assert list(files)[-1] == CONFIG
    (tmp_path / "model" / "gguf.sha256").write_text("0" * 64)
    assert portable.base_files(tmp_path / "model") == {
        name: tmp_path / "model" / name for name in ("model.safetensors", "config.json")
    }
