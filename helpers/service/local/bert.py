"""A BERT encoder, forwards alone, in plain numpy: all that a vector of a text is computed from.

As in the tuner's network each token is a column, and the tokens of all texts of a batch lie beside each other, N in
all, without padding: nothing is computed that no text has, so there is nothing to mask. Attention alone looks at one
text at a time, at texts of the same length together. `embedder.py` is the only caller; the tests hold it against a slow
plain one, and against transformers.

Shapes: width D, H heads of W = D / H numbers each, MLP width M, B texts of T tokens each.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..tuner.weights_file import WeightsFile

Affine = tuple[np.ndarray, np.ndarray]  # what is multiplied with, and what is then added

# Abramowitz and Stegun, Handbook of Mathematical Functions, 7.1.26: erf to 1.5e-7, which is what 32 bits hold.
_ERF_P = 0.3275911
_ERF = (0.254829592, -0.284496736, 1.421413741, -1.453152027, 1.061405429)
GELU_NUMBERS = 16_384  # at a time: what they take stays in the processor's cache


class Layer(NamedTuple):
    """One layer's numbers.

    Attributes:
        qkv: query, key and value below each other, (3 D, D).
        attention_out: (D, D).
        attention_norm, mlp_norm: (D).
        wide: into the MLP, (M, D).
        narrow: out of it, (D, M).
    """

    qkv: Affine
    attention_out: Affine
    attention_norm: Affine
    wide: Affine
    narrow: Affine
    mlp_norm: Affine


class Bert:
    """The encoder.

    Args:
        folder: Hugging Face folder of a BERT model whose activation is `gelu`; the weights are mapped, not read.

    Raises:
        OSError, ValueError, KeyError: it is none.
    """

    def __init__(self, folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        self._heads, self._epsilon = config["num_attention_heads"], config["layer_norm_eps"]
        self._file = WeightsFile(folder / "model.safetensors")
        self._words = self._file.read("embeddings.word_embeddings.weight")
        segments = self._file.read("embeddings.token_type_embeddings.weight")
        self._places = self._file.read("embeddings.position_embeddings.weight") + segments[0]  # a text is one segment
        self._norm = self._affine("embeddings.LayerNorm")
        self._layers = [self._layer(f"encoder.layer.{number}.") for number in range(config["num_hidden_layers"])]

    def _layer(self, name: str) -> Layer:
        return Layer(
            self._affine(*(f"{name}attention.self.{part}" for part in ("query", "key", "value"))),
            self._affine(f"{name}attention.output.dense"),
            self._affine(f"{name}attention.output.LayerNorm"),
            self._affine(f"{name}intermediate.dense"),
            self._affine(f"{name}output.dense"),
            self._affine(f"{name}output.LayerNorm"),
        )

    def _affine(self, *names: str) -> Affine:
        """Those of these names below each other, and what is added as a column."""
        weight, bias = (self._file.read(*(f"{name}.{part}" for name in names)) for part in ("weight", "bias"))
        return (weight if weight.ndim == 2 else weight[:, None]), bias[:, None]

    def mean_states(self, texts: Sequence[Sequence[int]]) -> np.ndarray:
        """The mean of what the last layer makes of a text's tokens, (texts, D).

        Args:
            texts: ids of each one's tokens, at least one. Those of the same length should lie beside each other.
        """
        lengths = np.array([len(text) for text in texts])
        places = np.concatenate([np.arange(length) for length in lengths])
        states = self._normed((self._words[np.concatenate(texts)] + self._places[places]).T, self._norm)
        for layer in self._layers:
            gathered = self._attention(_through(layer.qkv, states), lengths)
            states = self._normed(states + _through(layer.attention_out, gathered), layer.attention_norm)
            inner = _gelu(_through(layer.wide, states))
            states = self._normed(states + _through(layer.narrow, inner), layer.mlp_norm)
        begins = np.cumsum(lengths) - lengths
        return (np.add.reduceat(states, begins, axis=1) / lengths).T.astype(np.float32)

    def _attention(self, qkv: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """What each token gathers from those of its text, (D, N)."""
        gathered = np.empty((len(qkv) // 3, qkv.shape[1]), qkv.dtype)
        for columns, count, length in _runs(lengths):
            shape = (3, self._heads, -1, count, length)
            # Each (B, H, W, T), and copied: products of matrices that lie scattered take three times as long.
            query, key, value = np.ascontiguousarray(qkv[:, columns].reshape(shape).transpose(0, 3, 1, 2, 4))
            scores = query.swapaxes(2, 3) @ key / math.sqrt(query.shape[2])
            scores -= scores.max(3, keepdims=True)
            chances = np.exp(scores, out=scores)
            chances /= chances.sum(3, keepdims=True)
            found = value @ chances.swapaxes(2, 3)
            gathered[:, columns] = found.transpose(1, 2, 0, 3).reshape(len(gathered), -1)
        return gathered

    def _normed(self, x: np.ndarray, norm: Affine) -> np.ndarray:
        """Layer normalisation (arXiv 1607.06450) of each column."""
        centred = x - x.mean(0)
        centred /= np.sqrt(np.square(centred).mean(0) + np.float32(self._epsilon))
        return centred * norm[0] + norm[1]


def _through(affine: Affine, x: np.ndarray) -> np.ndarray:
    found = affine[0] @ x
    found += affine[1]
    return found


def _runs(lengths: np.ndarray) -> Iterator[tuple[slice, int, int]]:
    """Where texts of the same length lie beside each other: their columns, how many they are, and the length."""
    begin = 0
    for length, those in groupby(lengths.tolist()):
        count = len(list(those))
        yield slice(begin, begin + count * length), count, length
        begin += count * length


def _gelu(x: np.ndarray) -> np.ndarray:
    """x times the chance of a normal number below it (arXiv 1606.08415), in place.

    That is max(x, 0) - |x| tail(|x|), with the tail of the normal distribution, (1 - erf(x / sqrt 2)) / 2, above |x|.
    """
    flat = x.reshape(-1)
    for begin in range(0, len(flat), GELU_NUMBERS):
        block = flat[begin : begin + GELU_NUMBERS]
        size = np.abs(block)
        t = 1 / (1 + np.float32(_ERF_P / math.sqrt(2)) * size)
        tail = np.full_like(t, _ERF[-1])
        for factor in reversed(_ERF[:-1]):
            tail *= t
            tail += np.float32(factor)
        tail *= t
        tail *= np.exp(np.square(size) * np.float32(-0.5))
        tail *= size
        np.maximum(block, 0, out=block)
        block -= np.float32(0.5) * tail
    return x
