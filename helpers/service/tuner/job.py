"""What the service and its tuner process share: plain data, importable without numpy."""

from __future__ import annotations

import ctypes
import multiprocessing
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

CONFIG_FILE = "adapter_config.json"  # peft's own two files
WEIGHTS_FILE = "adapter_model.safetensors"
GGUF_FILE = "adapter.gguf"  # the adapter as llama.cpp reads it, beside them
NOT_TRAINABLE = -100  # the label that torch and transformers ignore, too


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


class Ended(Enum):
    """Why a fine-tune took no further step: all samples are learned, it has gone over them as often as it may, or its
    time was up."""

    LEARNED = "learned"
    PASSES = "passes"
    TIME = "time"


@dataclass(frozen=True)
class TuningResult:
    """What a fine-tune did.

    Attributes:
        trainable_tokens: how many tokens had a loss.
        sum_loss: its sum in nats before the first update.
        steps: how many were taken.
        learned: how many samples were learned when they were last looked at.
        ended: why there were no more steps.
    """

    trainable_tokens: int
    sum_loss: float
    steps: int
    learned: int
    ended: Ended


@dataclass(frozen=True)
class TuningProgress:
    """How far a fine-tune is.

    Attributes:
        doing: "reading" (what never changes of the samples), "looking" (at their losses) or "learning", in passes.
        samples: how many are done with in this.
        of: how many there are.
        steps: how many were taken so far.
    """

    doing: str
    samples: int
    of: int
    steps: int = 0


@dataclass(frozen=True)
class Signals:
    """What the service tells the tuner while a fine-tune runs: values in shared memory that only the service writes, so
    that they need no lock.

    Attributes:
        threads: how many threads a step may use right now (`local/cores.py`).
        completing: how many completions are under way right now. A step then uses half of the threads, and waits a
            while before it begins.
        given_up: not 0 once no one waits for the fine-tune any more.
    """

    threads: ctypes.c_int
    completing: ctypes.c_int
    given_up: ctypes.c_byte

    @classmethod
    def alone(cls, threads: int = 1) -> Signals:
        """For a tuner without a service: one that is never asked to give way."""
        new = multiprocessing.get_context("spawn").RawValue
        return cls(new("i", threads), new("i", 0), new("b", 0))
