"""What the service and its tuner process share: plain data, importable without numpy."""

from __future__ import annotations

import ctypes
import multiprocessing
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Any

from ...environment import MAX_THREADS

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
    """What the service tells a tuner while a fine-tune runs: values in shared memory that only the service writes, so
    that they need no lock. All tuners share them, but for the last.

    Attributes:
        free: how many cores no other program uses right now (`local/cores.py`).
        tuning: how many fine-tunes are under way right now.
        completing: how many completions are. A step then waits a while before it begins.
        given_up: not 0 once no one waits for this tuner's fine-tune any more.
    """

    free: ctypes.c_int
    tuning: ctypes.c_int
    completing: ctypes.c_int
    given_up: ctypes.c_byte

    @classmethod
    def beside(cls, free: ctypes.c_int) -> Signals:
        """For the first tuner.

        Args:
            free: the value that says how many cores are free.
        """
        return cls(free, _shared("i"), _shared("i"), _shared("b"))

    @classmethod
    def alone(cls, threads: int = 1) -> Signals:
        """For a tuner without a service: one that is never asked to give way."""
        return cls.beside(_shared("i", threads))

    def of_another(self) -> Signals:
        """For another tuner beside this one."""
        return replace(self, given_up=_shared("b"))

    @property
    def threads(self) -> int:
        """How many threads a step may use right now: its share of the free cores, of which half are left to completions
        while there are any."""
        free = self.free.value // 2 if self.completing.value else self.free.value
        return max(1, min(free // max(1, self.tuning.value), MAX_THREADS))


def _shared(kind: str, value: int = 0) -> Any:
    """A number in memory that a process which is started later shares."""
    return multiprocessing.get_context("spawn").RawValue(kind, value)
