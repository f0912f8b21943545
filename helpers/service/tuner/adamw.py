"""AdamW without weight decay (arXiv 1711.05101), with two learning rates and a state that is kept with the adapter.

Called by `recipe.py`.
"""

from __future__ import annotations

import math

import numpy as np

from .lora import Lora, Named

BETA_MEAN, BETA_SQUARE, EPSILON = 0.9, 0.999, 1e-8  # the paper's
B_RATE = 8  # LoRA's B matrices, which begin at 0, learn so many times as fast as A (LoRA+, arXiv 2402.12354)
B_RATE_OF_MANY = 4  # where a call has more samples than a step takes: at 8 it is no faster there, and forgets more
# But not beyond this rate, unless the learning rate itself is. B A moves with the root of the rank (rsLoRA, arXiv
# 2312.03732), and so above rank 8 the most falls with it: at rank 32 to 1e-2, beyond which that begins to break.
B_MOST = 2e-2
B_MOST_RANK = 8


class AdamW:
    """Moves an adapter's matrices against their gradients.

    Args:
        lora: what learns; changed in place.
        rate: the learning rate of the A matrices.
        state: `state` of an earlier optimizer of the same adapter; empty for a fresh one.
        b_rate: how many times as fast the B matrices learn.

    Attributes:
        state: for each of `lora.named()` the running "mean" and "square" of its gradients and its number of "steps", by
            names like "a.gate_proj.mean".
    """

    def __init__(self, lora: Lora, rate: float, state: Named, b_rate: float = B_RATE) -> None:
        self._learning = lora.named()
        most = B_MOST * min(1.0, math.sqrt(B_MOST_RANK / lora.rank))
        self.rates = {"a": rate, "b": rate * max(1.0, min(b_rate, most / rate))}
        self.state: Named = {}
        for name, values in self._learning.items():
            fresh = {"mean": np.zeros_like(values), "square": np.zeros_like(values), "steps": np.zeros((), np.float32)}
            for part, zeros in fresh.items():
                self.state[f"{name}.{part}"] = state.get(f"{name}.{part}", zeros).copy()

    def step(self, gradients: Named, share: float = 1.0) -> None:
        """Moves all matrices, at a share of the learning rates.

        Args:
            gradients: of the loss, by name, each of its matrix's shape.
            share: of the learning rate, 0 to 1.
        """
        for name, values in self._learning.items():
            mean, square, steps = (self.state[f"{name}.{part}"] for part in ("mean", "square", "steps"))
            steps += 1
            mean += (1 - BETA_MEAN) * (gradients[name] - mean)
            square += (1 - BETA_SQUARE) * (np.square(gradients[name]) - square)
            count = float(steps)
            pace = share * self.rates[name[0]] / (1 - BETA_MEAN**count)
            spread = np.sqrt(square) / math.sqrt(1 - BETA_SQUARE**count) + EPSILON
            values -= pace * mean / spread
