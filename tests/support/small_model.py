"""A random Llama small enough to compute by hand, as a Hugging Face folder, and adapters of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from helpers.service.tuner import small
from helpers.service.tuner.llama import Llama
from helpers.service.tuner.lora import TARGETS, Lora

RANK = 4
LAYERS, WIDTH, WIDE, HEADS, HEAD_WIDTH, VOCABULARY = 4, 32, 48, 4, 8, 96


def write_model(folder: Path, tied: bool = True, key_heads: int = 2, type_name: str = "F32") -> Path:
    """Writes the folder as `gguf_convert` would."""
    sizes = small.Sizes(LAYERS, WIDTH, WIDE, HEADS, key_heads, HEAD_WIDTH, VOCABULARY, tied)
    return small.write(folder, sizes, type_name)


def random_lora(model: Llama, layers: tuple[int, ...]) -> Lora:
    """An adapter whose B is not zero, so that every gradient has something to say."""
    draw = np.random.default_rng(2)
    a = {name: draw.normal(0, 0.2, (len(layers), RANK, model.sizes[name][1])).astype(model.dtype) for name in TARGETS}
    b = {name: draw.normal(0, 0.2, (len(layers), model.sizes[name][0], RANK)).astype(model.dtype) for name in TARGETS}
    return Lora(layers, 2.0, a, b)
