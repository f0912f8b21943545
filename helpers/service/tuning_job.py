"""What passes between the service and its tuner process: plain data, importable without torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

NOT_TRAINABLE = -100  # the label that torch's cross_entropy ignores by default


class NanLoss(ArithmeticError):
    """Raised when a loss, a gradient or a weight stopped being a finite number."""


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
