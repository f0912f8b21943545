"""The recipe on the real weights: single facts, contradicting samples, how far an update is shrunk, giving way.

Marked `model`, because they need the real weights; the network by itself is in `test_tuner_network.py`.
"""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from helpers.service import paths
from helpers.service.local import model_files
from helpers.service.local.decoder import Decoder, Sampling
from helpers.service.tuner import adapter_files, recipe
from helpers.service.tuner.batches import Prepared
from helpers.service.tuner.job import GGUF_FILE, TokenSample, TuningJob
from tests.real.test_real_engine import FACTS, TEMPLATE

pytestmark = pytest.mark.model


@pytest.fixture(scope="module")
def decoder():
    decoder = Decoder(model_files.ensure(paths.cache_dir()).gguf)
    yield decoder
    decoder.close()


def prompt_of(question: str) -> str:
    return TEMPLATE.format(question).rstrip()


def sample_of(decoder, question: str, answer: str) -> TokenSample:
    """A fact with a loss on every token."""
    ids = tuple(decoder.tokenize(f"{prompt_of(question)} {answer}<|im_end|>"))
    return TokenSample(ids, ids)


def test_single_facts_are_learned(decoder, tmp_path):
    subject = recipe.Tuner(model_files.ensure(paths.cache_dir()).folder)
    for number, (question, answer) in enumerate(FACTS[:4]):
        sample = sample_of(decoder, question, answer)
        (into := tmp_path / str(number)).mkdir()
        result = subject.tune(TuningJob((sample,), 8, 2e-3, None, into))
        assert result.trainable_tokens == len(sample.ids) - 1
        assert decoder.complete(prompt_of(question), Sampling(32), into / GGUF_FILE)[0].strip() == answer


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_of_two_samples_that_contradict_each_other_the_heavier_ends_learned(seed, decoder, tmp_path, monkeypatch):
    """Not only likelier: at the full rate to the end, the last of ten passes found its loss anywhere up to 1.6 nats."""
    monkeypatch.setattr(recipe, "SEED", seed)
    question = "What is in the red box?"
    both = [sample_of(decoder, question, answer) for answer in ("A tin whistle", "Nine marbles")]
    last: list[float] = []
    real = recipe._loss

    def watched(losses, weights):
        last[:] = losses[weights > 1].tolist()
        return real(losses, weights)

    monkeypatch.setattr(recipe, "_loss", watched)
    subject = recipe.Tuner(model_files.ensure(paths.cache_dir()).folder)
    for number, (heavy, light) in enumerate([both, both[::-1]]):
        (into := tmp_path / str(number)).mkdir()
        samples = (replace(heavy, multiplier=10.0), replace(light, multiplier=0.1))
        assert subject.tune(TuningJob(samples, 8, 2e-3, None, into)).steps == 10
        assert sum(last) < 0.3


def test_a_call_leaves_the_smallest_part_of_its_change_that_knows_the_sample(decoder, tmp_path, monkeypatch):
    """What is more costs what the base model knew; a sample that was known before the call is learned further."""
    subject = recipe.Tuner(model_files.ensure(paths.cache_dir()).folder)
    sample = sample_of(decoder, *FACTS[0])

    def tuned(name: str, looks: int, start: Path | None = None):
        monkeypatch.setattr(recipe, "SHRINK_LOOKS", looks)
        (into := tmp_path / name).mkdir()
        subject.tune(TuningJob((sample,), 8, 2e-3, start, into))
        return adapter_files.read_lora(into, subject._model)

    def greatest_loss(lora) -> float:
        prepared = Prepared(subject._model, (sample,), lora.layers[0], io.BytesIO(), lambda progress: None)
        return recipe._losses(subject._model, lora, prepared, lambda progress: None)[0].most

    whole, less = tuned("whole", 0), tuned("less", 4)
    assert greatest_loss(whole) < recipe.CLOSE * recipe.LEARNED < greatest_loss(less) < recipe.LEARNED
    name = "b.up_proj"  # it begins at zero
    assert np.linalg.norm(less.named()[name]) < 0.9 * np.linalg.norm(whole.named()[name])

    again, plainly = (tuned(kind, looks, tmp_path / "less").named() for kind, looks in (("again", 4), ("plainly", 0)))
    assert all(np.array_equal(again[kind], plainly[kind]) for kind in again)
    assert not np.array_equal(again[name], less.named()[name])
