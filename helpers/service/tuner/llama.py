"""The Llama network, forwards and backwards, in plain numpy: all that a fine-tune computes.

What each layer makes of the tokens, how wrong the guess of the next token is, and the gradient of that for the
adapter's matrices, each step of the way undone in reverse. The base model's own matrices never change, so they have no
gradients. The tests hold all this against finite differences, and against torch, transformers and peft. `recipe.py`
trains with it and `adapter_files.py` asks for its sizes.

Shapes. Each token is a column, and those of all samples of a batch lie beside each other, N in all; only attention
looks at one sample at a time (`attention.py`). Width D, MLP width M, vocabulary V, heads as in `attention.py`, adapters
as in `lora.py`. A gradient has a `d_` before the name of what it belongs to.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .attention import COLUMNS, Heads, Kept, Packing
from .lora import LayerLora, Lora, Named
from .weights_file import WeightsFile, names_of_layer

KEPT_COLUMNS = 256  # a larger batch keeps only what enters each layer, and computes the layer once more on the way back
HEAD_COLUMNS = 96  # so many tokens at a time are held against the whole vocabulary: 19 MB at V = 49152
PART_ROWS = 1024  # of a tall matrix are multiplied at a time: the copy that OpenBLAS makes of them stays in its caches
FOLDED = 64  # rows of logits that numpy takes as one: a loop over each row of 24 numbers costs more than they do


class Layer(NamedTuple):
    """The frozen matrices of one layer.

    Attributes:
        attention_norm, mlp_norm: (D).
        qkv: query, key and value below each other, ((H + 2 K) W, D): one product instead of three.
        attention_out: (D, H W).
        gate_up: gate and up below each other, (2 M, D).
        down: (D, M).
    """

    attention_norm: np.ndarray
    qkv: np.ndarray
    attention_out: np.ndarray
    mlp_norm: np.ndarray
    gate_up: np.ndarray
    down: np.ndarray


class LayerTrace(NamedTuple):
    """What a layer's way forward leaves for its way back."""

    attention_norm: tuple[np.ndarray, np.ndarray]
    heads: list[Kept]
    mlp_norm: tuple[np.ndarray, np.ndarray]
    gate: np.ndarray
    up: np.ndarray
    low: dict[str, np.ndarray]


class Trace(NamedTuple):
    """What each layer left, or what entered it if the batch is too large; and what the last norm did."""

    layers: list[LayerTrace | np.ndarray]
    norm: tuple[np.ndarray, np.ndarray]


class Llama:
    """The frozen network.

    Args:
        folder: Hugging Face folder of a Llama model.

    Attributes:
        folder: as given.
        layer_count: all layers.
        upper_half: the lowest layer of the upper half.
        width: D.
        vocabulary: V.
        sizes: rows and columns of each of `lora.TARGETS`.
        dtype: of all numbers.
    """

    def __init__(self, folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        self.folder = folder
        self.layer_count = config["num_hidden_layers"]
        self.upper_half = self.layer_count // 2
        self.vocabulary = config["vocab_size"]
        wide, narrow = config["intermediate_size"], config["hidden_size"]
        self.width = narrow
        self.sizes = {"gate_proj": (wide, narrow), "up_proj": (wide, narrow), "down_proj": (narrow, wide)}
        self._heads = Heads(config["num_attention_heads"], config["num_key_value_heads"], config["head_dim"])
        self._epsilon, self._theta = config["rms_norm_eps"], config["rope_theta"]
        self._file = WeightsFile(folder / "model.safetensors")
        names = [names_of_layer(number) for number in range(self.layer_count)]
        self._layers = [Layer(*(self._file.read(*of_one) for of_one in of_layer)) for of_layer in names]
        self._norm = self._file.read("model.norm.weight")
        self._embedding = self._file.read("model.embed_tokens.weight")
        self._head = self._embedding if config["tie_word_embeddings"] else self._file.read("lm_head.weight")
        self.dtype = self._embedding.dtype

    def packing(self, lengths: Sequence[int]) -> Packing:
        """How samples of these lengths lie in a batch."""
        return Packing(lengths, self._heads, self._theta, self.dtype)

    def embed(self, ids: Sequence[int]) -> np.ndarray:
        """What enters the first layer, (D, tokens)."""
        return np.ascontiguousarray(self._embedding[np.asarray(ids)].T)

    def through(self, number: int, hidden: np.ndarray, packing: Packing) -> np.ndarray:
        """What one layer makes of its input without an adapter, (D, N) both.

        Args:
            number: of the layer, from 0.
            hidden: its input.
            packing: where each sample lies.
        """
        return self._forward(self._layers[number], None, hidden, packing)[0]

    def layer(self, number: int) -> Layer:
        """The frozen matrices of one layer, to be read."""
        return self._layers[number]

    def forget(self, number: int) -> None:
        """Gives the memory of a layer back that is not needed for a while."""
        self._file.forget(*(name for names in names_of_layer(number) for name in names))

    def above(self, hidden: np.ndarray, packing: Packing, lora: Lora, keep: bool = True) -> tuple[np.ndarray, Trace]:
        """From what enters the lowest adapted layer to what `losses` takes, (D, N) both.

        Args:
            hidden, packing, lora: the batch and the adapter.
            keep: whether to keep what `gradients` needs, the second of what is returned.
        """
        left: list[LayerTrace | np.ndarray] = []
        small = packing.columns <= KEPT_COLUMNS
        for number in range(lora.layers[0], self.layer_count):
            entered = hidden
            hidden, trace = self._forward(self._layers[number], lora.of_layer(number), hidden, packing)
            if keep:
                left.append(trace if small else entered)
        hidden, norm = self._normed(hidden, self._norm)
        return hidden, Trace(left, norm)

    def logits(self, hidden: np.ndarray) -> np.ndarray:
        """Of every token of the vocabulary, (V, tokens), for columns of what `above` gave."""
        return _product(self._head, hidden)

    def losses(self, hidden: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, Callable[[np.ndarray], np.ndarray]]:
        """Cross-entropy of the token that comes next in nats, (tokens).

        The output matrix is the widest of a small model, so it is given the tokens that count and no others.

        Args:
            hidden: columns of what `above` gave, (D, tokens).
            targets: what comes next after each.

        Returns:
            The losses, and what gives the gradient of `hidden`, (D, tokens), for the losses' weights in a sum,
            (tokens). It may be called once: it works in the memory of the chances.
        """
        tokens, filled = len(targets), (0, -len(targets) % COLUMNS)
        hidden, targets = np.pad(hidden, ((0, 0), filled)), np.pad(targets, filled)
        blocks = [slice(start, start + HEAD_COLUMNS) for start in range(0, len(targets), HEAD_COLUMNS)]
        losses = np.empty(len(targets), self.dtype)
        for own in blocks:
            losses[own], chances = self._cross_entropy(hidden[:, own], targets[own])
        kept = chances if len(blocks) == 1 else None

        def back(weights: np.ndarray) -> np.ndarray:
            d_hidden, weights = np.empty_like(hidden), np.pad(weights, filled)
            for own in blocks:
                d_logits = self._cross_entropy(hidden[:, own], targets[own])[1] if kept is None else kept
                d_logits[targets[own], np.arange(d_logits.shape[1])] -= 1
                folded = _folded(d_logits)
                folded *= _repeated(weights[own], folded)
                d_hidden[:, own] = self._head.T @ d_logits
            return d_hidden[:, :tokens]

        return losses[:tokens], back

    def _cross_entropy(self, hidden: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The losses of some tokens, and the chance of every token to come next, (V, tokens)."""
        logits = self.logits(hidden)
        folded = _folded(logits)
        most = folded.max(0).reshape(-1, len(targets)).max(0)
        losses = most - logits[targets, np.arange(len(targets))]
        folded -= _repeated(most, folded)
        chances = np.exp(logits, out=logits)
        total = folded.sum(0).reshape(-1, len(targets)).sum(0)
        folded /= _repeated(total, folded)
        return losses + np.log(total), chances

    def gradients(self, d_hidden: np.ndarray, trace: Trace, packing: Packing, lora: Lora) -> Named:
        """The gradients of all that learns.

        Args:
            d_hidden: of what `above` gave, (D, N).
            trace: what `above` left.
            packing, lora: what `above` was given.
        """
        gradients = {name: np.zeros_like(values) for name, values in lora.named().items()}
        d_hidden = _norm_back(d_hidden, self._norm, trace.norm)
        for at in reversed(range(len(trace.layers))):
            layer, own = self._layers[lora.layers[0] + at], lora.of_layer(lora.layers[0] + at)
            left = trace.layers[at]
            if isinstance(left, np.ndarray):
                left = self._forward(layer, own, left, packing)[1]
            d_x = self._mlp_back(layer, own, d_hidden, left, gradients, wanted=at > 0)
            if at:  # below the lowest adapter nothing learns
                d_hidden = d_hidden + _norm_back(d_x, layer.mlp_norm, left.mlp_norm)
                d_x = layer.qkv.T @ packing.attention_back(layer.attention_out.T @ d_hidden, left.heads)
                d_hidden += _norm_back(d_x, layer.attention_norm, left.attention_norm)
        return gradients

    def _forward(
        self, layer: Layer, own: LayerLora | None, hidden: np.ndarray, packing: Packing
    ) -> tuple[np.ndarray, LayerTrace]:
        x, attention_norm = self._normed(hidden, layer.attention_norm)
        gathered, heads = packing.attention(layer.qkv @ x)
        hidden = hidden + layer.attention_out @ gathered
        x, mlp_norm = self._normed(hidden, layer.mlp_norm)
        gate, up = np.split(_product(layer.gate_up, x), 2)
        low = {}
        if own is not None:
            for name, part in (("gate_proj", gate), ("up_proj", up)):
                added, low[name] = own.forward(name, x)
                part += added
        y = gate * _sigmoid(gate) * up
        hidden += layer.down @ y
        if own is not None:
            added, low["down_proj"] = own.forward("down_proj", y)
            hidden += added
        return hidden, LayerTrace(attention_norm, heads, mlp_norm, gate, up, low)

    def _mlp_back(
        self, layer: Layer, own: LayerLora | None, d_out: np.ndarray, left: LayerTrace, gradients: Named, wanted: bool
    ) -> np.ndarray:
        """The gradient of the MLP's normed input, (D, N), from that of its output; of no use unless it is wanted."""
        sigmoid = _sigmoid(left.gate)
        silu = left.gate * sigmoid
        d_y = layer.down.T @ d_out
        if own is not None:
            d_y += own.backward("down_proj", d_out, silu * left.up, left.low["down_proj"], gradients)
        d_gate = d_y * left.up * (sigmoid + silu * (1 - sigmoid))
        d_up = d_y * silu
        d_x = layer.gate_up.T @ np.concatenate((d_gate, d_up)) if wanted else np.zeros((), d_up.dtype)
        if own is not None:
            x = left.mlp_norm[0] * layer.mlp_norm[:, None]
            for name, d_part in (("gate_proj", d_gate), ("up_proj", d_up)):
                d_x = d_x + own.backward(name, d_part, x, left.low[name], gradients)
        return d_x

    def _normed(self, x: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
        """Root mean square normalisation (arXiv 1910.07467), and what its way back needs."""
        inverse = 1 / np.sqrt(np.square(x).mean(0) + self._epsilon)
        unit = x * inverse
        return unit * weight[:, None], (unit, inverse)


def _product(tall: np.ndarray, x: np.ndarray) -> np.ndarray:
    """`tall @ x`, where x has few columns."""
    product = np.empty((len(tall), x.shape[1]), x.dtype)
    for start in range(0, len(tall), PART_ROWS):
        own = slice(start, start + PART_ROWS)
        np.matmul(tall[own], x, out=product[own])
    return product


def _folded(logits: np.ndarray) -> np.ndarray:
    """The same numbers with FOLDED rows, or as many as divide V, beside each other in one."""
    return logits.reshape(-1, math.gcd(len(logits), FOLDED) * logits.shape[1])


def _repeated(values: np.ndarray, folded: np.ndarray) -> np.ndarray:
    """A number for each token, as often as a row of `_folded` takes it."""
    return np.tile(values, folded.shape[1] // len(values))


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def _norm_back(d_normed: np.ndarray, weight: np.ndarray, left: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    unit, inverse = left
    d_unit = d_normed * weight[:, None]
    return inverse * (d_unit - unit * (d_unit * unit).mean(0))
