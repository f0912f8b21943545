"""A real adapter taken home, and the real service on other weights: what is on disk then, and what is said."""

from __future__ import annotations

import json
import shutil

import pytest
from safetensors.numpy import load_file

from helpers import GradientError, export_adapter
from helpers.errors import one_sentence
from helpers.service import paths
from helpers.service.catalog import ALL_MODELS
from helpers.service.local import model_files
from helpers.service.weights_identity import DEFAULT
from tests.conftest import TOKEN
from tests.real.test_real_engine import FACTS, ask, sample
from tests.real.test_real_lesson import adapter_folder

pytestmark = pytest.mark.model
QUESTION, ANSWER = FACTS[0]
TEXTS = ("README.md", "adapter_config.json", "base/config.json", "base/tokenizer.json", "base/tokenizer_config.json")


def test_an_exported_adapter_is_whole_and_names_no_place_of_this_machine(real_base, real_service, tmp_path):
    adapter = real_base.create_model_adapter(name="taken home")
    adapter.fine_tune(samples=[sample(QUESTION, ANSWER)])
    folder = export_adapter(adapter, tmp_path / "my-adapter")
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    assert set(files) == {*TEXTS, "adapter_model.safetensors", "base/model.safetensors"}

    kept = adapter_folder(real_service.data, adapter)
    weights = model_files.ensure(paths.cache_dir())
    assert files["adapter_model.safetensors"].read_bytes() == (kept / "adapter_model.safetensors").read_bytes()
    assert same_content(files["base/model.safetensors"], weights.folder / "model.safetensors")
    assert len(load_file(files["adapter_model.safetensors"])) == 90
    config = json.loads(files["adapter_config.json"].read_text(encoding="utf-8"))
    on_disk = json.loads((kept / "adapter_config.json").read_text(encoding="utf-8"))
    assert config == {**on_disk, "base_model_name_or_path": "HuggingFaceTB/SmolLM2-135M-Instruct"}
    assert DEFAULT.sha256 in files["README.md"].read_text(encoding="utf-8")

    places = [str(place) for place in (real_service.data, paths.cache_dir(), tmp_path, "127.0.0.1", TOKEN)]
    for name in TEXTS:
        text = files[name].read_text(encoding="utf-8")
        assert not [place for place in places if place in text], name
    assert TOKEN not in real_service.log()
    adapter.delete()


def same_content(one, other) -> bool:
    with one.open("rb") as first, other.open("rb") as second:
        while block := first.read(1 << 20):
            if block != second.read(1 << 20):
                return False
        return not second.read(1)


def test_an_adapter_is_kept_through_a_start_with_another_model(start_service, tmp_path):
    """The other model is the same with a byte more, as far as llama.cpp and the tuner go; its SHA-256 tells."""
    first = start_service(tmp_path / "data")
    adapter = first.gradient().list_models(only_base=True)[0].create_model_adapter(name="mine")
    adapter.fine_tune(samples=[sample(QUESTION, ANSWER)])
    before = ask(adapter, QUESTION)
    first.stop()

    other = tmp_path / "another.gguf"
    shutil.copy(model_files.ensure(paths.cache_dir()).gguf, other)
    with other.open("ab") as file:
        file.write(b"\0")
    second = start_service(tmp_path / "data", "--model", str(other), "--cache-dir", str(tmp_path / "cache"))
    (found,) = [model for model in second.gradient().list_models(only_base=False) if model.id == adapter.id]
    for call in (lambda: ask(found, QUESTION), lambda: found.fine_tune(samples=[sample(QUESTION, ANSWER)])):
        with pytest.raises(GradientError, match="b179c952.*without --model") as refusal, one_sentence(second.url):
            call()
        assert refusal.value.status == 409
    fresh = second.gradient().list_models(only_base=True)[0].create_model_adapter(name="of the other")
    fresh.fine_tune(samples=[sample(QUESTION, ANSWER)])
    assert ask(fresh, QUESTION).strip() == ANSWER
    second.stop()

    third = start_service(tmp_path / "data")
    adapters = {model.name: model for model in third.gradient().list_models(only_base=False)[len(ALL_MODELS) :]}
    assert ask(adapters["mine"], QUESTION) == before
    with pytest.raises(GradientError, match="with --model and the GGUF file of another"), one_sentence(third.url):
        ask(adapters["of the other"], QUESTION)
    third.stop()
