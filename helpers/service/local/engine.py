"""The engine of the local service: llama.cpp answers (`decoder.py`), and a tuner and an embedder that it is given learn
and make vectors.

This module knows what the two share: how a prompt becomes tokens, so that what was tuned is what is continued. Made by
`server.local_engine`.
"""

from __future__ import annotations

import hashlib
import math
import random
import threading
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from ..engine import (
    AdapterState,
    Completion,
    CompletionRequest,
    Engine,
    Load,
    SamplePart,
    Tuner,
    TuningOutcome,
    TuningSample,
)
from ..refusals import NothingToLearn, TooLong
from ..tuner.job import GGUF_FILE, NOT_TRAINABLE, TokenSample, TuningJob
from ..weights_identity import WeightsIdentity
from . import portable
from .cores import Cores
from .decoder import Decoder, Sampling
from .embedder import Embedder
from .model_files import Weights

END_OF_TURN = "<|im_end|>"  # ends an answer
MAX_SAMPLE_TOKENS = 1024  # the memory of one step grows with it
MAX_CALL_TOKENS = 20_000  # a fine-tune of that size takes minutes


class LocalEngine(Engine):
    """Answers and tunes with one model.

    Args:
        weights: the model on disk.
        tuner: what fine-tunes; it is closed with the engine.
        embedder: what makes vectors; it is closed with the engine.
        cores: says how many threads are right; it is closed with the engine.
        seed: if given, sampled answers repeat from start to start (for recordings, or a class that wants one answer).
        preload: whether the tuner begins to load now, beside the decoder, and not at the first need of it.
    """

    def __init__(
        self,
        weights: Weights,
        tuner: Tuner,
        embedder: Embedder,
        cores: Cores,
        seed: int | None = None,
        preload: bool = False,
    ) -> None:
        self._weights = weights
        self._seed = seed
        self._asked: Counter[str] = Counter()
        self._cores = cores
        self._tuner = tuner
        self._embedder = embedder
        if preload:
            self.prepare_tuning()
        self._decoder = Decoder(weights.gguf, lambda: self._cores.threads)

    @property
    def weights_name(self) -> str:
        return self._weights.name

    @property
    def weights(self) -> WeightsIdentity | None:
        return self._weights.identity

    def weights_named_in(self, folder: Path) -> WeightsIdentity | None:
        return portable.weights_named_in(folder)

    def adapter_files(self, folder: Path, base_name: str) -> dict[str, Path | bytes]:
        return portable.adapter_files(folder, base_name)

    def base_files(self) -> dict[str, Path]:
        return portable.base_files(self._weights.folder)

    def complete(
        self, request: CompletionRequest, base_slug: str, adapter: AdapterState | None, given_up: threading.Event
    ) -> Completion:
        with self._tuner.completing():
            return self._complete(request, adapter, given_up)

    def _seed_for(self, request: CompletionRequest, lora: Path | None) -> int:
        """A fresh seed; under a fixed one it depends on the request and on how often that was made, not on what else
        was asked meanwhile, so that concurrent notebooks repeat too."""
        if self._seed is None or request.temperature <= 0:
            return random.getrandbits(31)
        content = f"{self._seed} {request} {lora is None}"
        self._asked[content] += 1
        digest = hashlib.sha256(f"{content} {self._asked[content]}".encode()).digest()
        return int.from_bytes(digest[:4], "big") >> 1

    def _complete(
        self, request: CompletionRequest, adapter: AdapterState | None, given_up: threading.Event
    ) -> Completion:
        lora = None if adapter is None or adapter.folder is None else adapter.folder / GGUF_FILE
        prompt = self._decoder.apply_template(request.prompt) if request.auto_template else request.prompt
        prompt, cut = without_trailing_spaces(prompt)
        if request.choices is not None:
            return Completion(self._choose(prompt, request, lora, given_up), "stop")
        sampling = Sampling(
            max_tokens=request.max_tokens,
            temperature=request.temperature,
            top_k=request.top_k,
            top_p=request.top_p,
            seed=self._seed_for(request, lora),
        )
        text, reason = self._decoder.complete(prompt, sampling, lora, given_up)
        return Completion(text.lstrip(" ") if cut else text, reason)

    def _choose(self, prompt: str, request: CompletionRequest, lora: Path | None, given_up: threading.Event) -> str:
        """The likeliest choice, or one drawn by its likelihood when the temperature asks for it.

        Scoring whole choices beats steering the generation with a grammar, which can be led astray by the first
        letters: 23 of 24 short reviews against 18, 17 of 20 topics against 13.
        """
        choices = request.choices
        # In raw text a word follows a space; after a chat template's line break it does not.
        texts = [choice if prompt.endswith("\n") else f" {choice.strip()}" for choice in choices]
        scores = self._decoder.choose(prompt, texts, lora, given_up)
        best = max(scores)
        if request.temperature <= 0 or not math.isfinite(best):
            return choices[scores.index(best)]
        weights = [math.exp((score - best) / request.temperature) for score in scores]
        return random.Random(self._seed_for(request, lora)).choices(choices, weights)[0]

    def fine_tune(
        self, samples: list[TuningSample], adapter: AdapterState, into: Path, given_up: threading.Event
    ) -> TuningOutcome:
        tokenised = tuple(self._tokenised(sample, number) for number, sample in enumerate(samples, 1))
        total = sum(len(sample.ids) for sample in tokenised)
        if total > MAX_CALL_TOKENS:
            raise TooLong(
                f"The samples have {total} tokens together and one call takes {MAX_CALL_TOKENS}: split them over calls."
            )
        job = TuningJob(tokenised, adapter.rank, adapter.learning_rate, adapter.folder, into)
        result = self._tuner.tune(job, given_up)
        return TuningOutcome(result.trainable_tokens, result.sum_loss, result.steps)

    def _tokenised(self, sample: TuningSample, number: int) -> TokenSample:
        """Tokens of a sample with `<|im_end|>` after it, so that the model learns to stop where the sample does."""
        parts = spaces_moved_forward(sample.parts)
        if not parts[-1].text.endswith(END_OF_TURN):
            parts = [*parts, SamplePart(END_OF_TURN, parts[-1].trainable)]
        ids: list[int] = []
        labels: list[int] = []
        for part in parts:
            tokens = self._decoder.tokenize(part.text, part.parse_special_tokens)
            ids += tokens
            labels += tokens if part.trainable else [NOT_TRAINABLE] * len(tokens)
        _check_sample(number, ids, labels)
        return TokenSample(tuple(ids), tuple(labels), sample.multiplier)

    def tokenize(self, text: str) -> list[int]:
        return self._decoder.tokenize(text)

    def embed(self, texts: Sequence[str], given_up: threading.Event) -> list[list[float]]:
        with self._tuner.completing():
            return self._embedder.embed(texts, given_up)

    def embedding_tokens(self, texts: Sequence[str], given_up: threading.Event) -> int:
        return self._embedder.tokens(texts, given_up)

    @property
    def doing(self) -> tuple[str, float] | None:
        return self._embedder.doing

    def prepare_tuning(self) -> None:
        self._tuner.prepare()

    def load(self) -> Load:
        return Load(self._decoder.threads, self._cores.limit, self._cores.others)

    def close(self) -> None:
        self._tuner.close()
        self._embedder.close()
        self._decoder.close()
        self._cores.close()


def _check_sample(number: int, ids: list[int], labels: list[int]) -> None:
    if len(ids) > MAX_SAMPLE_TOKENS:
        raise TooLong(
            f"Sample {number} has {len(ids)} tokens and a sample may have {MAX_SAMPLE_TOKENS}: shorten it or split it."
        )
    if all(label == NOT_TRAINABLE for label in labels[1:]):
        raise NothingToLearn(
            f"Sample {number} has nothing to learn: at least one part with trainable true must follow some context."
        )


def without_trailing_spaces(prompt: str) -> tuple[str, bool]:
    """The prompt without the spaces at its end, and whether there were any.

    A space belongs to the word after it in this tokenizer; left at the end it makes the model answer with digits. A
    prompt of spaces alone stays as it is.
    """
    cut = prompt.rstrip(" ")
    return (cut, cut != prompt) if cut else (prompt, False)


def spaces_moved_forward(parts: tuple[SamplePart, ...]) -> list[SamplePart]:
    """The parts of a sample with each part's trailing spaces moved to the front of the next.

    For the same reason: "Answer: " + "Paris" has to be learned as "Answer:" + " Paris", which is what a prompt and its
    continuation are. Parts that were nothing but spaces vanish.
    """
    moved: list[SamplePart] = []
    carried = ""
    for position, part in enumerate(parts):
        text = carried + part.text
        last = position == len(parts) - 1
        kept = text if last else text.rstrip(" ")
        carried = text[len(kept) :]
        if kept:
            moved.append(SamplePart(kept, part.trainable, part.parse_special_tokens))
    return moved
