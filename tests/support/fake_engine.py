"""A scripted engine for unit tests: instant, with no model, and every call can be watched, delayed or made to fail."""

from __future__ import annotations

import hashlib
import json
import math
import re
import threading
from collections.abc import Sequence
from pathlib import Path

from helpers.service import refusals
from helpers.service.engine import (
    EMBEDDING_SIZE,
    AdapterState,
    Completion,
    CompletionRequest,
    Engine,
    LikelyToken,
    Token,
    TuningOutcome,
    TuningSample,
)
from helpers.service.local.model_files import Weights
from helpers.service.weights_identity import WeightsIdentity

WEIGHTS = WeightsIdentity("FakeModel", "fa" * 32)
WEIGHTS_FILES = Weights(WEIGHTS.name, Path("none.gguf"), Path("none"), WEIGHTS.sha256)


class FakeEngine(Engine):
    """Echoes the prompt; an adapter answers with the last text it was tuned on.

    Args:
        complete_seconds, tune_seconds: how long an answer and a fine-tune take.
    """

    def __init__(self, complete_seconds: float = 0.0, tune_seconds: float = 0.0) -> None:
        self.requests: list[tuple[CompletionRequest, str, AdapterState | None]] = []
        self.tunings: list[tuple[list[TuningSample], AdapterState]] = []
        self.fail: Exception | None = None
        self.complete_seconds = complete_seconds
        self.tune_seconds = tune_seconds
        self.embed_seconds = 0.0
        self.preparing: tuple[str, float] | None = None  # what it says that it is doing
        self.given_up = 0  # how many calls were ended early
        self.runs: WeightsIdentity | None = WEIGHTS
        self.named: WeightsIdentity | None = None  # what the folders of adapters tell
        self.base: dict[str, Path] = {}  # the files of the weights

    def _work(self, seconds: float, given_up: threading.Event) -> None:
        if seconds and given_up.wait(seconds):
            self.given_up += 1
            raise refusals.CallerGone

    @property
    def weights_name(self) -> str:
        return WEIGHTS.name

    @property
    def weights(self) -> WeightsIdentity | None:
        return self.runs

    def weights_named_in(self, folder: Path) -> WeightsIdentity | None:
        return self.named

    def adapter_files(self, folder: Path, base_name: str) -> dict[str, Path | bytes]:
        config = json.dumps({"base_model_name_or_path": base_name}).encode()
        return {"adapter_model.safetensors": folder / "learned.json", "adapter_config.json": config}

    def base_files(self) -> dict[str, Path]:
        return self.base

    @property
    def doing(self) -> tuple[str, float] | None:
        return self.preparing

    def tokenize(self, text: str) -> list[Token]:
        return [Token(len(word), word) for word in text.split()]

    def next_tokens(
        self, prompt: str, count: int, base_slug: str, adapter: AdapterState | None, given_up: threading.Event
    ) -> list[LikelyToken]:
        """Half, a quarter, an eighth and so on; an adapter is surer of its first."""
        if self.fail is not None:
            raise self.fail
        first = 0.5 if adapter is None else 0.75
        return [LikelyToken(place, f" word{place}", first / 2**place) for place in range(count)]

    def embed(self, texts: Sequence[str], given_up: threading.Event) -> list[list[float]]:
        """A bag of words: texts that share words are alike, and the same in every process."""
        self._work(self.embed_seconds, given_up)
        if self.fail is not None:
            raise self.fail
        return [_bag_of_words(text) for text in texts]

    def embedding_tokens(self, texts: Sequence[str], given_up: threading.Event) -> int:
        return sum(len(self.tokenize(text)) for text in texts)

    def complete(
        self, request: CompletionRequest, base_slug: str, adapter: AdapterState | None, given_up: threading.Event
    ) -> Completion:
        self.requests.append((request, base_slug, adapter))
        self._work(self.complete_seconds, given_up)
        if self.fail is not None:
            raise self.fail
        if request.choices:
            return Completion(request.choices[0], "stop")
        if adapter is not None and adapter.folder is not None:
            return Completion(json.loads((adapter.folder / "learned.json").read_text())[-1], "stop")
        return Completion(f"echo: {request.prompt}"[:1000], "length")

    def fine_tune(
        self, samples: list[TuningSample], adapter: AdapterState, into: Path, given_up: threading.Event
    ) -> TuningOutcome:
        self.tunings.append((samples, adapter))
        learned = json.loads((adapter.folder / "learned.json").read_text()) if adapter.folder else []
        (into / "learned.json").write_text("[]")  # half-written, until it is not
        self._work(self.tune_seconds, given_up)
        if self.fail is not None:
            raise self.fail
        texts = ["".join(part.text for part in sample.parts) for sample in samples]
        if any("NaN" in text for text in texts):
            raise refusals.LossRanAway
        (into / "learned.json").write_text(json.dumps([*learned, *texts]))
        return TuningOutcome(trainable_tokens=len(texts), sum_loss=10.0 / (1 + len(learned)), steps=1)


def _bag_of_words(text: str) -> list[float]:
    vector = [0.0] * EMBEDDING_SIZE
    for word in re.findall(r"\w+", text.lower()) or [text]:
        vector[int(hashlib.sha256(word.encode()).hexdigest(), 16) % EMBEDDING_SIZE] += 1.0
    length = math.sqrt(sum(number * number for number in vector))
    return [number / length for number in vector]
