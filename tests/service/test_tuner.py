"""The tuner's network, optimizer and files against transformers, peft and torch's own, on small random models.

They are marked `model` because torch and transformers take seconds to load; only the last tests need the real weights.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from helpers.service import paths
from helpers.service.local import model_files
from helpers.service.tuner.job import GGUF_FILE, GivenUp, Signals, TokenSample, TuningJob
from tests.real.test_real_engine import FACTS, TEMPLATE

pytestmark = pytest.mark.model

IDS = [[5, 17, 3, 88, 41, 9], [2, 60, 33, 7, 7, 12]]
RANK = 4


def small_model(folder: Path, tied: bool, key_heads: int) -> Path:
    """A random Llama of four layers as a Hugging Face folder, as `gguf_convert` would write it."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(1)
    config = {
        "vocab_size": 96,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": key_heads,
        "head_dim": 8,
        "rms_norm_eps": 1e-5,
        "rope_theta": 5000.0,
        "tie_word_embeddings": tied,
        "initializer_range": 0.3,
    }
    LlamaForCausalLM(LlamaConfig(**config)).half().save_pretrained(folder)
    (folder / "config.json").write_text(json.dumps({"model_type": "llama", **config}))
    return folder


@pytest.fixture(params=[(True, 2), (False, 4)], ids=["tied, shared keys", "untied, a key a head"])
def folder(request, tmp_path) -> Path:
    return small_model(tmp_path / "model", *request.param)


@pytest.fixture
def model(folder):
    import torch

    from helpers.service.tuner.llama import Llama

    return Llama(folder, "cpu", torch.float32)


def random_lora(model, first: int):
    import torch

    from helpers.service.tuner.llama import TARGETS, Lora

    torch.manual_seed(2)
    layers = model.layer_count - first
    a = {name: torch.randn(layers, RANK, model.sizes[name][1]) * 0.2 for name in TARGETS}
    b = {name: torch.randn(layers, model.sizes[name][0], RANK) * 0.2 for name in TARGETS}
    lora = Lora(first, 2.0, a, b)
    for values in lora.named().values():
        values.requires_grad_()
    return lora


def our_logits(model, lora):
    import torch

    hidden, rotary = model.embed(torch.tensor(IDS))
    return model.logits(model.above(model.below(hidden, rotary, lora.first), rotary, lora))


@pytest.mark.parametrize("first", [0, 2, 3])
def test_the_network_is_that_of_transformers_and_peft_forwards_and_backwards(model, folder, tmp_path, first):
    """The folder that is written is opened by peft, which gives the same logits and the same gradients."""
    import torch
    from peft import PeftModel
    from transformers import LlamaForCausalLM

    from helpers.service.tuner import adapter_files

    lora = random_lora(model, first)
    ours = our_logits(model, lora)
    (written := tmp_path / "adapter").mkdir()
    adapter_files.write(written, lora, {}, model)
    plain = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32)
    theirs_model = PeftModel.from_pretrained(plain, written, is_trainable=True)
    theirs = theirs_model(torch.tensor(IDS)).logits
    assert ours.std() > 0.5
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)

    ours.square().mean().backward()
    theirs.square().mean().backward()
    for name, parameter in theirs_model.named_parameters():
        if parameter.requires_grad:
            layer, target, half = int(name.split(".")[4]), name.split(".")[6], name.split(".")[7]
            stack = lora.a if half == "lora_A" else lora.b
            torch.testing.assert_close(stack[target].grad[layer - first], parameter.grad, atol=1e-4, rtol=1e-3)
    assert sum(parameter.requires_grad for parameter in theirs_model.parameters()) == 2 * 3 * (4 - first)


def test_what_is_written_is_what_is_read(model, tmp_path):
    import torch

    from helpers.service.tuner import adapter_files

    lora = random_lora(model, 2)
    adapter_files.write(tmp_path, lora, {"a.steps": torch.tensor(3.0)}, model)
    read = adapter_files.read_lora(tmp_path, model)
    assert (read.first, read.scale, read.rank) == (2, 2.0, RANK)
    for before, after in zip(lora.named().values(), read.named().values(), strict=True):
        assert torch.equal(before, after)
    assert adapter_files.read_optimizer(tmp_path) == {"a.steps": torch.tensor(3.0)}
    assert {path.name for path in tmp_path.iterdir() if path.is_file()} == {
        "adapter_config.json",
        "adapter_model.safetensors",
        "optimizer.safetensors",
        GGUF_FILE,
    }


def test_an_adapter_of_all_layers_without_an_optimizer_is_read_too(model, tmp_path):
    from helpers.service.tuner import adapter_files

    adapter_files.write(tmp_path, random_lora(model, 0), {}, model)
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    del config["layers_to_transform"]  # as peft writes it when all are meant
    (tmp_path / "adapter_config.json").write_text(json.dumps(config))
    (tmp_path / "optimizer.safetensors").unlink()
    assert adapter_files.read_lora(tmp_path, model).first == 0
    assert adapter_files.read_optimizer(tmp_path) == {}


def test_the_optimizer_is_adamw_with_two_rates_and_goes_on_where_it_was(model):
    import torch

    from helpers.service.tuner import recipe

    ours, theirs = random_lora(model, 2), random_lora(model, 2)
    reference = torch.optim.AdamW(
        [{"params": list(theirs.a.values())}, {"params": list(theirs.b.values()), "lr": 4e-3}], 1e-3, weight_decay=0.0
    )
    state: dict = {}
    for _ in range(3):
        optimizer = recipe._AdamW(ours, 1e-3, state)  # a new one each time, as in a new call of fine_tune
        our_logits(model, ours).square().mean().backward()
        our_logits(model, theirs).square().mean().backward()
        optimizer.step()
        reference.step()
        reference.zero_grad()
        state = {name: values.clone() for name, values in optimizer.state.items()}
    for before, after in zip(theirs.named().values(), ours.named().values(), strict=True):
        torch.testing.assert_close(after, before, atol=1e-6, rtol=1e-5)
        assert after.grad is None
    assert {float(values) for name, values in state.items() if name.endswith("steps")} == {3.0}


@pytest.mark.parametrize(("rate", "times"), [(2e-3, 4.0), (5e-3, 2.0), (1e-2, 1.0), (0.5, 1.0)])
def test_the_second_rate_is_capped(model, rate, times):
    from helpers.service.tuner import recipe

    assert recipe._AdamW(random_lora(model, 2), rate, {})._rates == {"a": rate, "b": pytest.approx(rate * times)}


def test_a_tuner_loads_neither_transformers_nor_torchs_compiler(folder, tmp_path):
    """They take 2.5 of 3.6 seconds, which a learner would wait for before the first fine-tune."""
    (tmp_path / "out").mkdir()
    code = f"""
import sys
from dataclasses import replace
from pathlib import Path
from helpers.service.tuner.job import TokenSample, TuningJob
from helpers.service.tuner.recipe import Tuner
ids = tuple(range(3, 20))
into = Path({str(tmp_path / "out")!r})
result = Tuner(Path({str(folder)!r})).tune(TuningJob((TokenSample(ids, ids),), 4, 2e-3, None, into))
assert result.trainable_tokens == 16 and result.steps >= 1, result
found = {{"transformers", "peft", "torch._dynamo", "torch.distributed.tensor"}} & set(sys.modules)
print(sorted(found))
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert (run.returncode, run.stdout.strip()) == (0, "[]"), run.stderr


@pytest.fixture(scope="module")
def decoder():
    from helpers.service.local.decoder import Decoder

    decoder = Decoder(model_files.ensure(paths.cache_dir()).gguf)
    yield decoder
    decoder.close()


def prompt_of(question: str) -> str:
    return TEMPLATE.format(question).rstrip()


def sample_of(decoder, question: str, answer: str) -> TokenSample:
    """A fact with a loss on every token."""
    ids = tuple(decoder.tokenize(f"{prompt_of(question)} {answer}<|im_end|>"))
    return TokenSample(ids, ids)


@pytest.mark.parametrize("kind", ["float32", "bfloat16"])
def test_single_facts_are_learned_with_either_kind_of_floats(kind, decoder, tmp_path, monkeypatch):
    import torch

    from helpers.service.local.decoder import Sampling
    from helpers.service.tuner import recipe

    if kind == "bfloat16" and recipe.matrix_type("cpu") is not torch.bfloat16:
        pytest.skip("this CPU does not multiply bfloat16 matrices in hardware, and takes minutes without")
    monkeypatch.setattr(recipe, "matrix_type", lambda device: getattr(torch, kind))
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
    from helpers.service.tuner import recipe

    monkeypatch.setattr(recipe, "SEED", seed)
    question = "What is in the red box?"
    both = [sample_of(decoder, question, answer) for answer in ("A tin whistle", "Nine marbles")]
    last: list[float] = []
    real = recipe._token_losses

    def watched(network, lora, batch):
        losses, weight = real(network, lora, batch)
        last[:] = losses[weight > 1].tolist()
        return losses, weight

    monkeypatch.setattr(recipe, "_token_losses", watched)
    subject = recipe.Tuner(model_files.ensure(paths.cache_dir()).folder)
    for number, (heavy, light) in enumerate([both, both[::-1]]):
        (into := tmp_path / str(number)).mkdir()
        samples = (replace(heavy, multiplier=10.0), replace(light, multiplier=0.1))
        assert subject.tune(TuningJob(samples, 8, 2e-3, None, into)).steps == 10
        assert sum(last) < 0.3


def test_a_call_leaves_the_smallest_eighth_of_its_change_that_knows_the_sample(decoder, tmp_path, monkeypatch):
    """What is more costs what the base model knew; a sample that was known before the call is learned further."""
    import torch

    from helpers.service.tuner import adapter_files, recipe

    subject = recipe.Tuner(model_files.ensure(paths.cache_dir()).folder)
    sample = sample_of(decoder, *FACTS[0])

    def tuned(name: str, halvings: int, start: Path | None = None):
        monkeypatch.setattr(recipe, "HALVINGS", halvings)
        (into := tmp_path / name).mkdir()
        subject.tune(TuningJob((sample,), 8, 2e-3, start, into))
        return adapter_files.read_lora(into, subject._model).named()

    whole, less, start = tuned("whole", 0), tuned("less", 3), recipe._fresh(subject._model, 8).named()
    name = "b.up_proj"
    part = (less[name].norm() / whole[name].norm()).item()  # B begins at zero
    assert part < 1
    assert part * 8 == pytest.approx(round(part * 8), abs=1e-3)

    def greatest_loss(part: float) -> float:
        lora = recipe._fresh(subject._model, 8)
        for kind, values in lora.named().items():
            values.copy_(torch.lerp(start[kind], whole[kind], part))
        (batch,) = subject._batches((sample,), lora)
        return recipe._token_losses(subject._model, lora, batch)[0].max().item()

    assert greatest_loss(part) < recipe.LEARNED <= greatest_loss(part - 1 / 8)

    again, plainly = tuned("again", 3, tmp_path / "less"), tuned("plainly", 0, tmp_path / "less")
    assert all(torch.equal(again[kind], plainly[kind]) for kind in again)
    assert not torch.equal(again[name], less[name])


def test_a_step_gives_way_to_answers_for_a_while_and_not_for_ever(monkeypatch):
    from helpers.service.tuner import recipe

    now = [100.0]
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += seconds

    monkeypatch.setattr(recipe.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(recipe.time, "sleep", sleep)
    subject = object.__new__(recipe.Tuner)
    subject._signals, subject._step_began = Signals.alone(threads=2), 99.0  # the last step took a second
    subject._before_step()
    assert not slept
    now[0] += 0.3
    subject._signals.completing.value = 1
    subject._before_step()
    assert sum(slept) == pytest.approx(0.3 * recipe.GIVE_WAY, abs=2 * recipe.LOOK_SECONDS)
    subject._signals.given_up.value = 1
    with pytest.raises(GivenUp):
        subject._before_step()
