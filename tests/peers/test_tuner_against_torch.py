"""The tuner's network, optimizer and files against transformers, peft and torch, on small random models."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from helpers.service.tuner import adapter_files
from helpers.service.tuner.adamw import AdamW
from helpers.service.tuner.llama import Llama
from tests.support.small_model import random_lora, write_model

from .environment import run

pytestmark = pytest.mark.peers

HERE = Path(__file__).parent
IDS = [[5, 17, 3, 88, 41, 9], [2, 60, 33, 7, 7, 12]]


def relative_error(ours: np.ndarray, theirs: np.ndarray) -> float:
    return float(np.linalg.norm(ours - theirs) / np.linalg.norm(theirs))


@pytest.mark.parametrize(("tied", "key_heads"), [(True, 2), (False, 4)], ids=["tied, shared keys", "untied"])
@pytest.mark.parametrize("layers", [(0, 1, 2, 3), (2, 3), (1, 3)])
def test_the_network_is_that_of_transformers_and_peft_forwards_and_backwards(tmp_path, tied, key_heads, layers):
    """peft opens the folder that is written, and gives the same logits and the same gradients."""
    model = Llama(write_model(tmp_path / "model", tied, key_heads))
    lora = random_lora(model, layers)
    (adapter := tmp_path / "adapter").mkdir()
    adapter_files.write(adapter, lora, {}, model)
    run(HERE / "peft_gradients.py", tmp_path / "model", adapter, json.dumps(IDS), tmp_path / "theirs.npz")
    theirs = np.load(tmp_path / "theirs.npz")

    packing = model.packing([len(ids) for ids in IDS])
    hidden = model.embed(sum(IDS, []) + [0] * (packing.columns - 12))
    for number in range(layers[0]):
        hidden = model.through(number, hidden, packing)
    above, trace = model.above(hidden, packing, lora)
    logits = model.logits(above)[:, :12]
    assert logits.std() > 0.5
    assert relative_error(logits, theirs["logits"].reshape(12, -1).T) < 1e-5

    d_above = np.zeros_like(above)
    d_above[:, :12] = model._head.T @ (2 * logits / logits.size)
    gradients = model.gradients(d_above, trace, packing, lora)
    for name, values in gradients.items():
        for layer, ours in zip(layers, values, strict=True):
            assert relative_error(ours, theirs[f"{name}.{layer}"]) < 1e-4
    assert len(theirs.files) == 1 + 2 * 3 * len(layers)


def test_the_optimizer_is_torchs_adamw_with_two_rates(tmp_path):
    lora = random_lora(Llama(write_model(tmp_path / "model")), (2, 3))
    draw = np.random.default_rng(4)
    steps = [
        {name: draw.normal(size=values.shape).astype(np.float32) for name, values in lora.named().items()}
        for _ in range(3)
    ]
    given = {f"gradient.{name}.{step}": values for step, all_of in enumerate(steps) for name, values in all_of.items()}
    np.savez(tmp_path / "start.npz", **lora.named(), **given)
    run(HERE / "torch_adamw.py", tmp_path / "start.npz", tmp_path / "theirs.npz")
    optimizer = AdamW(lora, 1e-3, {})
    for gradients in steps:
        optimizer.step(gradients)
    theirs = np.load(tmp_path / "theirs.npz")
    for name, values in lora.named().items():
        assert relative_error(values, theirs[name]) < 1e-6
