"""An adapter in memory: LoRA's two thin matrices beside each MLP matrix of some layers, forwards and backwards.

LoRA adds scale · B (A x) to what a frozen matrix makes of x (arXiv 2106.09685). Called by `llama.py`, which computes
the rest of the network, `recipe.py`, which makes and trains it, and `adapter_files.py`, which reads and writes it.

Shapes: N tokens, each a column; rank R.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

TARGETS = ("gate_proj", "up_proj", "down_proj")  # the matrices that have an adapter, as transformers and peft call them

Named = dict[str, np.ndarray]
"""All that learns, or something of the same shapes, as "a.gate_proj", "b.gate_proj" and so on."""


@dataclass(frozen=True)
class Lora:
    """An adapter.

    Attributes:
        layers: the numbers of the layers that it adapts, rising.
        scale: alpha / R.
        a: for each of TARGETS, A in all these layers, (layers, R, columns of the target).
        b: the same for B, (layers, rows of the target, R).
    """

    layers: tuple[int, ...]
    scale: float
    a: dict[str, np.ndarray]
    b: dict[str, np.ndarray]

    @property
    def rank(self) -> int:
        """R."""
        return self.a[TARGETS[0]].shape[1]

    def named(self) -> Named:
        """The stacks of matrices themselves."""
        return {f"{half}.{name}": values for half in "ab" for name, values in getattr(self, half).items()}

    def of_layer(self, number: int) -> LayerLora | None:
        """The matrices in one layer, or None where it is not adapted."""
        if number not in self.layers:
            return None
        at = self.layers.index(number)
        a, b = ({name: values[at] for name, values in half.items()} for half in (self.a, self.b))
        return LayerLora(at, self.scale, a, b)


class LayerLora(NamedTuple):
    """An adapter in one layer; `at` is the layer's place in the stacks of `Lora`."""

    at: int
    scale: float
    a: dict[str, np.ndarray]
    b: dict[str, np.ndarray]

    def forward(self, name: str, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What is added to the output of a target, and scale · A x on the way there, (R, N)."""
        low = self.scale * (self.a[name] @ x)
        return self.b[name] @ low, low

    def backward(self, name: str, d_y: np.ndarray, x: np.ndarray, low: np.ndarray, gradients: Named) -> np.ndarray:
        """Puts the gradients of A and B into `gradients`, and returns what the adapter adds to the gradient of x.

        Args:
            name: one of TARGETS.
            x: what `forward` was given, (inputs, N).
            d_y: the gradient of what it gave, (outputs, N).
            low: what it left, (rank, N).
        """
        d_low = self.scale * (self.b[name].T @ d_y)
        np.matmul(d_y, low.T, out=gradients[f"b.{name}"][self.at])
        np.matmul(d_low, x.T, out=gradients[f"a.{name}"][self.at])
        return self.a[name].T @ d_low
