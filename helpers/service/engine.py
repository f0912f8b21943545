"""The engine's interface, that of a tuner beside it, and the plain data that passes through them.

An engine answers prompts, tunes adapters and makes vectors of texts; it knows nothing of HTTP, workspaces or names.
`LocalEngine` (`local/engine.py`) runs real models, `ClusterEngine` (`cluster/engine.py`) asks such engines on other
machines; the tests' stub server puts a recorded one in their place. Methods block, are called from worker threads,
several at a time, and raise refusals (`refusals.py`). The event `given_up` is set when no one waits for the result any
more: an engine then ends soon, raising `CallerGone`.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from ..environment import DEFAULT_LEARNING_RATE, DEFAULT_RANK
from .refusals import NotServed
from .weights_identity import WeightsIdentity

if TYPE_CHECKING:
    from .tuner.job import TuningJob, TuningResult

DEFAULT_MAX_TOKENS = 128
EMBEDDING_SIZE = 1024  # numbers in a vector of text; programs have stores of this width


@dataclass(frozen=True)
class AdapterState:
    """What an engine needs to know of an adapter.

    Attributes:
        base_slug: the base model that it adapts.
        rank: inner size of the LoRA matrices, 1 to MAX_RANK.
        learning_rate: AdamW's step size, between 0 and 1.
        folder: what the last fine-tune wrote, or None before the first. It never changes once written: each
            fine-tune writes a new folder.
    """

    base_slug: str
    rank: int = DEFAULT_RANK
    learning_rate: float = DEFAULT_LEARNING_RATE
    folder: Path | None = None


@dataclass(frozen=True)
class CompletionRequest:
    """A prompt and how to continue it.

    Attributes:
        prompt: the text to continue.
        auto_template: wrap the prompt in the model's chat template first.
        max_tokens: how many tokens to generate at the most, 1 to MAX_GENERATED_TOKENS.
        temperature: 0 is greedy and repeatable; above it, sampling.
        top_k: keep the k likeliest tokens, None for all. Acts before top_p.
        top_p: keep the likeliest tokens that together have this probability, None for all.
        choices: if given, the answer is exactly one of these strings.
    """

    prompt: str
    auto_template: bool = False
    max_tokens: int = DEFAULT_MAX_TOKENS
    temperature: float = 0.0
    top_k: int | None = None
    top_p: float | None = None
    choices: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Completion:
    """What the model said, and why it stopped: "stop" (it ended the text) or "length" (max_tokens)."""

    text: str
    finish_reason: str


@dataclass(frozen=True)
class Token:
    """A token of the model: its id, and the piece of text that it stands for."""

    id: int
    piece: str


@dataclass(frozen=True)
class LikelyToken(Token):
    """A token that may come next, and its probability, between 0 and 1, before any sampling."""

    probability: float


@dataclass(frozen=True)
class SamplePart:
    """A piece of a sample. Tokens of a part that is not trainable are context: they have no loss."""

    text: str
    trainable: bool = True
    parse_special_tokens: bool = True


@dataclass(frozen=True)
class TuningSample:
    """A text to learn, in parts, and the weight of its loss."""

    parts: tuple[SamplePart, ...]
    multiplier: float = 1.0


@dataclass(frozen=True)
class TuningOutcome:
    """What a fine-tune did.

    Attributes:
        trainable_tokens: how many tokens had a loss.
        sum_loss: their summed cross-entropy in nats before the first update.
        steps: how many optimizer steps were taken.
    """

    trainable_tokens: int
    sum_loss: float
    steps: int


@dataclass(frozen=True)
class Load:
    """How the machine is shared right now.

    Attributes:
        threads: how many threads the engine answers with.
        cores: how many cores there are for it.
        others: how many cores' worth other programs use.
        tuners: how many processes that fine-tune are there.
    """

    threads: int
    cores: int
    others: float
    tuners: int = 0


@dataclass(frozen=True)
class ClusterLoad(Load):
    """How the machines of a cluster are shared, all together.

    Attributes:
        workers: how many there are right now.
    """

    workers: int = 0


@dataclass(frozen=True)
class Places:
    """How much an engine works on at once.

    Attributes:
        completions: how many completions: twice as many as it computes side by side, so that one that waits for its
            adapter to be loaded leaves its place there to others.
        tunes: how many fine-tunes, each of another adapter.
    """

    completions: int = 16
    tunes: int = 1


class Engine(ABC):
    """Completes prompts, tunes adapters, and makes vectors of texts."""

    @property
    @abstractmethod
    def weights_name(self) -> str:
        """What answers, for people: "SmolLM2-135M-Instruct"."""

    @property
    def weights(self) -> WeightsIdentity | None:
        """Which weights answer and are tuned on. None, where there are none to tell apart, fits every adapter."""
        return None

    def weights_named_in(self, folder: Path) -> WeightsIdentity | None:
        """Which weights an adapter was tuned on as far as its folder tells: for those of which the store does not know,
        because an earlier version of the service tuned them."""
        return None

    @property
    def places(self) -> Places:
        """How much it works on at once. The scheduler asks whenever a request may start, and every second while one
        waits, on the event loop: so the answer may be another one each time, and has to be there at once."""
        return Places()

    @abstractmethod
    def complete(
        self, request: CompletionRequest, base_slug: str, adapter: AdapterState | None, given_up: threading.Event
    ) -> Completion:
        """Continues a prompt with the base model, or with an adapter on it.

        Args:
            request: the prompt and how to continue it.
            base_slug: of the base model that was asked for.
            adapter: the adapter, or None for the base model.
            given_up: set when no one waits for the answer any more: it ends with the next token.
        """

    @abstractmethod
    def fine_tune(
        self, samples: list[TuningSample], adapter: AdapterState, into: Path, given_up: threading.Event
    ) -> TuningOutcome:
        """Tunes an adapter further and writes the result into an empty folder; `adapter.folder` stays untouched.

        Args:
            samples: what to learn.
            adapter: as it is.
            into: an empty folder.
            given_up: set when no one waits any more: nothing has to be written then.
        """

    def adapter_files(self, folder: Path, base_name: str) -> dict[str, Path | bytes]:
        """The files by which others open an adapter, by name, on disk or in memory; none if the engine writes none.

        Args:
            folder: what a fine-tune wrote.
            base_name: what the files call the base model.
        """
        return {}

    def base_files(self) -> dict[str, Path]:
        """The files by which others open the weights themselves, by name; none if there are none."""
        return {}

    def tokenize(self, text: str) -> list[Token]:
        """The tokens that the model makes of a text, special ones among them.

        Args:
            text: any.

        Raises:
            NotServed: it has no tokens.
        """
        raise NotServed("This service answers without a model of its own, so it has no tokens to count.")

    def next_tokens(
        self, prompt: str, count: int, base_slug: str, adapter: AdapterState | None, given_up: threading.Event
    ) -> list[LikelyToken]:
        """The likeliest tokens after a prompt, at most `count` of them, the likeliest first.

        Args:
            prompt: raw text.
            count: how many, at most.
            base_slug, adapter, given_up: as for `complete`.

        Raises:
            NotServed: it has no probabilities.
        """
        raise NotServed("This service answers without a model of its own, so it has no probabilities to show.")

    def embed(self, texts: Sequence[str], given_up: threading.Event) -> list[list[float]]:
        """Vectors of texts, in their order: EMBEDDING_SIZE numbers each, of length 1, so that a dot product of two says
        how alike they are.

        Args:
            texts: any number.
            given_up: set when no one waits any more.

        Raises:
            NotServed: it has no embeddings model.
        """
        raise NotServed("This service answers without an embeddings model, so it has no vectors to give.")

    def embedding_tokens(self, texts: Sequence[str], given_up: threading.Event) -> int:
        """How many tokens of these texts `embed` computes with, all together; 0 if it computes with none.

        Args:
            texts: any number.
            given_up: set when no one waits any more.
        """
        return 0

    @property
    def doing(self) -> tuple[str, float] | None:
        """What is being got ready beside the work, for people, and how much of it is done, 0 to 1; None if nothing."""
        return None

    def prepare_tuning(self) -> None:  # noqa: B027 - nothing to prepare is a fine default
        """Starts getting ready to fine-tune, without waiting for it."""

    def load(self) -> Load | None:
        """How the machine is shared right now, or None if the engine does not know."""
        return None

    @property
    def broken(self) -> str | None:
        """Why this engine will answer no more call, for people; None as long as it may."""
        return None

    def close(self) -> None:  # noqa: B027
        """Frees what the engine holds."""


class Tuner(Protocol):
    """What an engine asks of whoever fine-tunes for it: `tuner/pool.py` has ours, in processes of their own.

    An engine that tunes tokens, and not texts, makes a `TuningJob` of them; `tuner/job.py` says what is in one.
    """

    @property
    def places(self) -> int:
        """How many fine-tunes may run at once, now."""

    @property
    def running(self) -> int:
        """How many processes there are."""

    def prepare(self) -> None:
        """Gets ready, without waiting for it."""

    def completing(self) -> AbstractContextManager[None]:
        """Wraps a completion: meanwhile fine-tunes leave cores to it."""

    def tune(self, job: TuningJob, given_up: threading.Event) -> TuningResult:
        """Runs one fine-tune; raises a refusal if it was not done, and the adapter is then as it was before.

        Args:
            job: the samples in tokens, the adapter, where to write.
            given_up: set when no one waits any more: it ends before its next step.
        """

    def close(self) -> None:
        """Ends at once; fine-tunes that are under way fail."""
