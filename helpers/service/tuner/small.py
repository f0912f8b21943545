"""Random Llamas small enough to compute by hand, for lesson 6 and for the tests: the network of a fine-tune, unlearned.

Only the sizes are small. `llama.py` reads such a folder as it reads the real one, and all else that tunes works on it.
Every number is rounded to two decimals, so that what is printed of a small model is the same on every machine.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

from . import weights_file
from .llama import Llama

WORDS = ("<start>", "the", "a", "cat", "dog", "sat", "lay", "on", "mat", "rug", ".")
"""The vocabulary of lesson 6: a token is a word, and its id is its place here."""


class Sizes(NamedTuple):
    """How large a Llama is; the letters are those of `llama.py`.

    Attributes:
        layers: how many.
        width: D.
        wide: M, the MLP's.
        heads: H.
        key_heads: K.
        head_width: W.
        vocabulary: V.
        tied: whether the embedding is the output matrix too.
    """

    layers: int
    width: int
    wide: int
    heads: int
    key_heads: int
    head_width: int
    vocabulary: int
    tied: bool = True


PRINTABLE = Sizes(layers=2, width=12, wide=24, heads=2, key_heads=1, head_width=6, vocabulary=len(WORDS))


def small_llama(sizes: Sizes = PRINTABLE) -> Llama:
    """A small network, in 64-bit floats; equal sizes give equal numbers."""
    with tempfile.TemporaryDirectory(prefix="gradient-small-", ignore_cleanup_errors=True) as folder:
        return Llama(write(Path(folder), sizes, "F64"))


def write(folder: Path, sizes: Sizes, type_name: str = "F32") -> Path:
    """Writes a small network as a Hugging Face folder.

    Args:
        folder: where to; made if it is not there.
        sizes: how large.
        type_name: how safetensors calls the type of the numbers.

    Returns:
        The folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(_config(sizes)), encoding="utf-8")
    shapes = _shapes(sizes)
    draw = np.random.default_rng(1)
    values = {
        name: draw.normal(0, 0.3, shape) if len(shape) == 2 else draw.uniform(0.5, 1.5, shape)
        for name, shape in shapes.items()
    }
    weights_file.write(folder / "model.safetensors", shapes, lambda name: values[name].round(2), type_name)
    return folder


def _config(sizes: Sizes) -> dict[str, object]:
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": sizes.vocabulary,
        "hidden_size": sizes.width,
        "intermediate_size": sizes.wide,
        "num_hidden_layers": sizes.layers,
        "num_attention_heads": sizes.heads,
        "num_key_value_heads": sizes.key_heads,
        "head_dim": sizes.head_width,
        "rms_norm_eps": 1e-5,
        "rope_theta": 5000.0,
        "tie_word_embeddings": sizes.tied,
    }


def _shapes(sizes: Sizes) -> dict[str, tuple[int, ...]]:
    """Of each tensor, in the order of the file."""
    narrow, wide = sizes.width, sizes.wide
    queries, keys = sizes.heads * sizes.head_width, sizes.key_heads * sizes.head_width
    of_parts = [(narrow,), (queries, narrow), (keys, narrow), (keys, narrow), (narrow, queries), (narrow,)]
    of_parts += [(wide, narrow), (wide, narrow), (narrow, wide)]
    shapes: dict[str, tuple[int, ...]] = {}
    for number in range(sizes.layers):
        names = [name for names in weights_file.names_of_layer(number) for name in names]
        shapes |= zip(names, of_parts, strict=True)
    shapes |= {"model.norm.weight": (narrow,), "model.embed_tokens.weight": (sizes.vocabulary, narrow)}
    return shapes if sizes.tied else {**shapes, "lm_head.weight": (sizes.vocabulary, narrow)}
