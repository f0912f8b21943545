"""A random Llama small enough to compute by hand, as a Hugging Face folder, and adapters of it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from helpers.service.tuner import weights_file
from helpers.service.tuner.llama import Llama
from helpers.service.tuner.lora import TARGETS, Lora

RANK = 4
LAYERS, WIDTH, WIDE, HEADS, HEAD_WIDTH, VOCABULARY = 4, 32, 48, 4, 8, 96


def write_model(folder: Path, tied: bool = True, key_heads: int = 2, type_name: str = "F32") -> Path:
    """Writes the folder as `gguf_convert` would."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": VOCABULARY,
        "hidden_size": WIDTH,
        "intermediate_size": WIDE,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": key_heads,
        "head_dim": HEAD_WIDTH,
        "rms_norm_eps": 1e-5,
        "rope_theta": 5000.0,
        "tie_word_embeddings": tied,
    }
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    shapes = _shapes(tied, key_heads)
    draw = np.random.default_rng(1)
    values = {
        name: draw.normal(0, 0.3, shape) if len(shape) == 2 else draw.uniform(0.5, 1.5, shape)
        for name, shape in shapes.items()
    }
    weights_file.write(folder / "model.safetensors", shapes, values.__getitem__, type_name)
    return folder


def _shapes(tied: bool, key_heads: int) -> dict[str, tuple[int, ...]]:
    queries, keys = HEADS * HEAD_WIDTH, key_heads * HEAD_WIDTH
    of_parts = [(WIDTH,), (queries, WIDTH), (keys, WIDTH), (keys, WIDTH), (WIDTH, queries), (WIDTH,)]
    of_parts += [(WIDE, WIDTH), (WIDE, WIDTH), (WIDTH, WIDE)]
    shapes = {}
    for number in range(LAYERS):
        names = [name for names in weights_file.names_of_layer(number) for name in names]
        shapes |= zip(names, of_parts, strict=True)
    shapes |= {"model.norm.weight": (WIDTH,), "model.embed_tokens.weight": (VOCABULARY, WIDTH)}
    return shapes if tied else {**shapes, "lm_head.weight": (VOCABULARY, WIDTH)}


def random_lora(model: Llama, layers: tuple[int, ...]) -> Lora:
    """An adapter whose B is not zero, so that every gradient has something to say."""
    draw = np.random.default_rng(2)
    a = {name: draw.normal(0, 0.2, (len(layers), RANK, model.sizes[name][1])).astype(model.dtype) for name in TARGETS}
    b = {name: draw.normal(0, 0.2, (len(layers), model.sizes[name][0], RANK)).astype(model.dtype) for name in TARGETS}
    return Lora(layers, 2.0, a, b)
