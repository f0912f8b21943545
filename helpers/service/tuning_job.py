"""What the service and its tuner process share: plain data, importable without torch."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

MAX_THREADS = 8  # a 135M model gains nothing from more
GGUF_FILE = "adapter.gguf"  # the adapter as llama.cpp reads it, beside peft's own files
NOT_TRAINABLE = -100  # the label that torch's cross_entropy ignores by default


def threads() -> int:
    """How many threads the decoder and the tuner may each use."""
    return min(os.cpu_count() or 1, MAX_THREADS)


class NanLoss(ArithmeticError):
    """Raised when the loss ran away, or a loss, a gradient or a weight stopped being a finite number."""


class GivenUp(RuntimeError):
    """Raised when a fine-tune was ended because no one waits for it any more."""


@dataclass(frozen=True)
class TokenSample:
    """A tokenised sample.

    Attributes:
        ids: token ids, as llama.cpp makes them.
        labels: of the same length: the token's own id where it is to be learned, else NOT_TRAINABLE.
        multiplier: weight of the sample's loss.
    """

    ids: tuple[int, ...]
    labels: tuple[int, ...]
    multiplier: float = 1.0


@dataclass(frozen=True)
class TuningJob:
    """One fine-tune.

    Attributes:
        samples: at least one, each with at least one trainable token after its first.
        rank: inner size of the LoRA matrices.
        learning_rate: AdamW's step size.
        start: folder of the adapter so far, or None for a fresh one.
        into: existing empty folder to write.
    """

    samples: tuple[TokenSample, ...]
    rank: int
    learning_rate: float
    start: Path | None
    into: Path


@dataclass(frozen=True)
class TuningResult:
    """How many tokens had a loss, its sum in nats before the first update, and the steps taken."""

    trainable_tokens: int
    sum_loss: float
    steps: int
