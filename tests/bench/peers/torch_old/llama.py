"""The network of the tuner that this project had before the one in numpy, in plain torch: see `torch_tuner.py`."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from safetensors import safe_open
from torch.nn.functional import linear, rms_norm, scaled_dot_product_attention, silu

TARGETS = ("gate_proj", "up_proj", "down_proj")  # the matrices that have an adapter, as transformers and peft call them

Rotary = tuple[torch.Tensor, torch.Tensor]
"""Cosines and sines of the tokens' positions, each (T, head width)."""


@dataclass(frozen=True)
class _Layer:
    attention_norm: torch.Tensor
    qkv: torch.Tensor  # query, key and value as one matrix: one product instead of three
    attention_out: torch.Tensor
    mlp_norm: torch.Tensor
    gate_up: torch.Tensor
    down: torch.Tensor


@dataclass(frozen=True)
class LayerLora:
    """An adapter's matrices in one layer: LoRA adds scale · B(A x) to what a matrix makes of x (arXiv 2106.09685)."""

    scale: float
    matrices: dict[str, tuple[torch.Tensor, torch.Tensor]]

    def added(self, name: str, x: torch.Tensor) -> torch.Tensor:
        """What the adapter adds for the target of this name."""
        a, b = self.matrices[name]
        return linear(self.scale * linear(x, a), b)


@dataclass(frozen=True)
class Lora:
    """An adapter's matrices in all layers.

    Attributes:
        first: the lowest layer that has any; all above it have them too.
        scale: alpha / R.
        a: for each of TARGETS one tensor for all layers, (L, R, columns of the matrix).
        b: the same, (L, rows of the matrix, R).
    """

    first: int
    scale: float
    a: dict[str, torch.Tensor]
    b: dict[str, torch.Tensor]

    @property
    def rank(self) -> int:
        """R."""
        return self.a[TARGETS[0]].shape[1]

    def named(self) -> dict[str, torch.Tensor]:
        """All tensors that learn, as "a.gate_proj" and so on."""
        return {f"{half}.{name}": values for half in "ab" for name, values in getattr(self, half).items()}

    def by_layer(self) -> Iterable[LayerLora]:
        """A and B of each target, for each layer that has them, from below."""
        pairs = [zip(self.a[name].unbind(), self.b[name].unbind(), strict=True) for name in TARGETS]
        return (LayerLora(self.scale, dict(zip(TARGETS, layer, strict=True))) for layer in zip(*pairs, strict=True))


class Llama:
    """The frozen network.

    Args:
        folder: Hugging Face folder of a Llama model in 16-bit floats, as `gguf_convert` writes it.
        device: where it computes.
        dtype: of the matrices and of what they are multiplied with. All else is in 32-bit floats.

    Attributes:
        folder, device: as given.
        layer_count: all layers.
        upper_half: the lowest layer of the upper half, which is what fresh adapters adapt.
        vocabulary: tokens that there are.
        sizes: rows and columns of each of TARGETS.
    """

    def __init__(self, folder: Path, device: str, dtype: torch.dtype) -> None:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        self.folder, self.device = folder, device
        self.layer_count = config["num_hidden_layers"]
        self.upper_half = self.layer_count // 2
        self.vocabulary = config["vocab_size"]
        wide, narrow = config["intermediate_size"], config["hidden_size"]
        self.sizes = {"gate_proj": (wide, narrow), "up_proj": (wide, narrow), "down_proj": (narrow, wide)}
        self._heads, self._key_heads = config["num_attention_heads"], config["num_key_value_heads"]
        self._head_width = config["head_dim"]
        self._epsilon, self._theta = config["rms_norm_eps"], config["rope_theta"]
        self._tied = config["tie_word_embeddings"]
        self._dtype = dtype
        self._load(folder / "model.safetensors")

    def _load(self, file: Path) -> None:
        def read(*names: str, dtype: torch.dtype) -> torch.Tensor:
            # Opened anew for each: the file is mapped, and counts as memory as far as it was read, until it is closed.
            with safe_open(file, "pt") as stored:
                return torch.cat([stored.get_tensor(f"{name}.weight") for name in names]).to(self.device, dtype)

        norm = partial(read, dtype=torch.float32)
        self._layers = []
        for number in range(self.layer_count):
            at = f"model.layers.{number}"
            # The lower half works once a call, so it stays in the file's 16 bits: 100 MB less, and no slower.
            lower = number < self.upper_half and self._dtype is torch.float32
            matrix = partial(read, dtype=torch.float16 if lower else self._dtype)
            layer = _Layer(
                norm(f"{at}.input_layernorm"),
                matrix(*(f"{at}.self_attn.{part}_proj" for part in "qkv")),
                matrix(f"{at}.self_attn.o_proj"),
                norm(f"{at}.post_attention_layernorm"),
                matrix(f"{at}.mlp.gate_proj", f"{at}.mlp.up_proj"),
                matrix(f"{at}.mlp.down_proj"),
            )
            self._layers.append(layer)
        self._norm = norm("model.norm")
        self._embedding = read("model.embed_tokens", dtype=self._dtype)
        self._head = self._embedding if self._tied else read("lm_head", dtype=self._dtype)

    def embed(self, ids: torch.Tensor) -> tuple[torch.Tensor, Rotary]:
        """What enters the first layer, (S, T, D), for token ids (S, T), and the rotary embedding of their positions."""
        width = self._head_width
        rates = self._theta ** (-torch.arange(0, width, 2, dtype=torch.float32) / width)
        angles = torch.outer(torch.arange(ids.shape[1], dtype=torch.float32), rates).repeat(1, 2)
        hidden = self._embedding[ids.to(self.device)].float()
        return hidden, (angles.cos().to(self.device), angles.sin().to(self.device))

    def below(self, hidden: torch.Tensor, rotary: Rotary, first: int) -> torch.Tensor:
        """What the layers under `first` make of it, (S, T, D)."""
        for layer in self._layers[:first]:
            hidden = self._through(layer, hidden, rotary, None)
        return hidden

    def above(self, hidden: torch.Tensor, rotary: Rotary, lora: Lora) -> torch.Tensor:
        """What the adapted layers make of what `below` gave, normalised for `logits`, (S, T, D)."""
        for layer, own in zip(self._layers[lora.first :], lora.by_layer(), strict=True):
            hidden = self._through(layer, hidden, rotary, own)
        return self._normed(hidden, self._norm)

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """Of each token of the vocabulary, for any positions (…, D) of what `above` gave."""
        return self._product(hidden, self._head)

    def _through(self, layer: _Layer, hidden: torch.Tensor, rotary: Rotary, lora: LayerLora | None) -> torch.Tensor:
        hidden = hidden + self._attention(layer, self._normed(hidden, layer.attention_norm), rotary)
        x = self._normed(hidden, layer.mlp_norm)
        gate, up = self._product(x, layer.gate_up).chunk(2, -1)
        if lora is not None:
            gate, up = gate + lora.added("gate_proj", x), up + lora.added("up_proj", x)
        x = silu(gate) * up
        hidden = hidden + self._product(x, layer.down)
        return hidden if lora is None else hidden + lora.added("down_proj", x)

    def _attention(self, layer: _Layer, x: torch.Tensor, rotary: Rotary) -> torch.Tensor:
        samples, tokens, _ = x.shape
        heads = self._product(x, layer.qkv).view(samples, tokens, -1, self._head_width).transpose(1, 2)
        query, key, value = heads.split((self._heads, self._key_heads, self._key_heads), dim=1)
        shared = self._heads != self._key_heads
        mixed = scaled_dot_product_attention(
            _rotated(query, rotary), _rotated(key, rotary), value, is_causal=True, enable_gqa=shared
        )
        return self._product(mixed.transpose(1, 2).reshape(samples, tokens, -1), layer.attention_out)

    def _normed(self, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        return rms_norm(x, weight.shape, weight, self._epsilon)

    def _product(self, x: torch.Tensor, matrix: torch.Tensor) -> torch.Tensor:
        return linear(x.to(self._dtype), matrix.to(self._dtype)).float()


def _rotated(heads: torch.Tensor, rotary: Rotary) -> torch.Tensor:
    """Rotary position embedding (arXiv 2104.09864), with a head's two halves as the coordinates, as Llama lays them."""
    cosines, sines = rotary
    lower, upper = heads.chunk(2, -1)
    return heads * cosines + torch.cat((-upper, lower), -1) * sines
