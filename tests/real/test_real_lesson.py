"""The whole lesson against a service process with an empty data folder, and what is on disk afterwards."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import threading

import pytest

from helpers import GradientLLM, connect, stop_local_service
from helpers.service import launcher, paths
from helpers.service.catalog import ALL_MODELS
from helpers.service.local import model_files
from helpers.service.local.decoder import Decoder
from tests.conftest import TOKEN, WORKSPACE
from tests.real.test_real_engine import FACTS, ask, sample

pytestmark = pytest.mark.model
QUESTION, ANSWER = FACTS[0]


def adapter_folder(data, adapter):
    with contextlib.closing(sqlite3.connect(data / "adapters.sqlite3")) as database:
        (version,) = database.execute("SELECT version FROM adapters WHERE id = ?", (adapter.id,)).fetchone()
    return data / "adapters" / adapter.id / f"v{version}"


def test_the_whole_lesson_and_the_same_answers_after_a_restart(start_service):
    service = start_service()
    gradient = service.gradient()
    assert [(model.id, model.slug) for model in gradient.list_models(only_base=True)] == list(ALL_MODELS)
    base = gradient.get_base_model(base_model_slug="nous-hermes2")
    adapter = base.create_model_adapter(name="my model")
    other = base.create_model_adapter(name="never tuned")
    assert ANSWER not in ask(adapter, QUESTION)
    first = adapter.fine_tune(samples=[sample(QUESTION, ANSWER)])
    assert ask(adapter, QUESTION).strip() == ANSWER

    folder = adapter_folder(service.data, adapter)
    assert {"adapter_config.json", "adapter_model.safetensors", "optimizer.safetensors", "adapter.gguf"} <= {
        path.name for path in folder.iterdir()
    }
    config = json.loads((folder / "adapter_config.json").read_text())
    assert (config["peft_type"], config["r"], config["lora_alpha"]) == ("LORA", 8, 16)

    untuned = ask(other, QUESTION)
    assert service.stop() == 0
    assert not (service.data / launcher.ADDRESS_FILE).exists()
    assert TOKEN not in service.log()

    again = start_service(service.data)
    gradient = again.gradient()
    adapters = {model.id: model for model in gradient.list_models(only_base=False)[len(ALL_MODELS) :]}
    assert set(adapters) == {adapter.id, other.id}
    assert ask(adapters[adapter.id], QUESTION).strip() == ANSWER
    assert ask(adapters[other.id], QUESTION) == untuned
    second = adapters[adapter.id].fine_tune(samples=[sample(QUESTION, ANSWER)])
    assert second.number_of_trainable_tokens == first.number_of_trainable_tokens
    assert second.sum_loss < first.sum_loss / 10
    adapters[adapter.id].delete()
    assert not folder.parent.exists()
    again.stop()


def test_the_tokenizer_of_the_converted_folder_is_llama_cpps():
    from tokenizers import Tokenizer

    model = model_files.ensure(paths.cache_dir())
    decoder = Decoder(model.gguf)
    tokenizer = Tokenizer.from_file(str(model.folder / "tokenizer.json"))
    texts = [
        "",
        "Hello world",
        "  two  spaces ",
        "12345 and 3.14",
        "it's we'll",
        "日本語 🦜 é",
        "\n\n\ttab",
        "<|im_end|>x",
    ]
    for text in [*texts, *(question for question, _ in FACTS)]:
        assert tokenizer.encode(text).ids == decoder.tokenize(text), text
    decoder.close()


def test_connect_starts_one_service_for_all_and_it_outlives_the_asking(tmp_path, monkeypatch, capsys):
    gradients = []
    threads = [threading.Thread(target=lambda: gradients.append(connect(quiet=True))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    service = launcher.find(paths.data_dir())
    assert len(gradients) == 3
    assert os.environ["GRADIENT_API_URL"] == service.url
    base = gradients[0].list_models(only_base=True)[0]
    assert GradientLLM(model=base.id).invoke("The capital of France is", max_generated_token_count=3).strip()
    stop_local_service()
    assert launcher.find(paths.data_dir()) is None
    again = connect(quiet=True)  # what connect() set before is not taken for the user's own endpoint
    assert launcher.find(paths.data_dir()).pid != service.pid
    assert len(again.list_models(only_base=True)) == len(ALL_MODELS)
    stop_local_service()


def test_a_second_service_on_the_same_folder_is_refused(real_service):
    import subprocess
    import sys

    second = subprocess.run(
        [sys.executable, "-m", "helpers.service", "--data-dir", str(real_service.data), "--token", TOKEN],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert second.returncode == 1
    assert real_service.url in second.stderr
    assert "Traceback" not in second.stderr


def test_workspaces_share_the_model_and_nothing_else(real_service):
    mine, theirs = real_service.gradient(WORKSPACE), real_service.gradient("another_workspace")
    adapter = mine.list_models(only_base=True)[0].create_model_adapter(name="mine")
    assert adapter.id not in [model.id for model in theirs.list_models(only_base=False)]
    adapter.delete()
