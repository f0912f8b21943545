"""The engine of the local service: llama.cpp answers (`decoder.py`), and a tuner and an embedder that it is given learn
and make vectors.

This module knows what the two share: how a prompt becomes tokens (`texts.py`), so that what was tuned is what is
continued. Made by `server.local_engine`.

No answer is empty. Read as raw text, half of the instructions that people send end where they stand, and the model says
nothing, or a line break. Then the instruction is asked once more as the user's turn of the model's chat template, which
is how it learned to answer them; if that says nothing either, or is no way, the raw text is continued by something that
can be seen, whatever it is. `tests/bench/TRIED.md` has what else was tried.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import random
import re
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from ..engine import (
    AdapterState,
    Completion,
    CompletionRequest,
    LikelyToken,
    Load,
    Places,
    Token,
    Tuner,
    TuningOutcome,
    TuningSample,
)
from ..refusals import CallerGone, NothingToLearn, TooLong
from ..tuner.job import GGUF_FILE, NOT_TRAINABLE, TokenSample, TuningJob
from .cores import Cores
from .decoder import CONTEXT_TOKENS, SLOTS, Decoder, Sampling
from .embedder import Embedder
from .held_weights import HeldWeights
from .model_files import Weights
from .texts import BEGIN, END, sample_parts, with_own_specials, without_trailing_spaces

ENDS = ("<|im_end|>", "<|eot_id|>", END)  # what ends an answer: the first of them that the model has as a token
BEGIN_OF_TURN = "<|im_start|>"
MAX_SAMPLE_TOKENS = CONTEXT_TOKENS  # what is longer can't be asked for either
MAX_CALL_TOKENS = 100 * MAX_SAMPLE_TOKENS  # at that size a pass takes longer than the tuner's time


class LocalEngine(HeldWeights):
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
        super().__init__(weights)
        self._seed = seed
        self._asked: Counter[str] = Counter()
        self._cores = cores
        self._tuner = tuner
        self._embedder = embedder
        if preload:
            self.prepare_tuning()
        self._decoder = Decoder(weights.gguf, lambda: self._cores.threads)

    @property
    def places(self) -> Places:
        return Places(completions=2 * SLOTS, tunes=self._tuner.places)

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

    @cached_property
    def _end(self) -> str:
        """The special token with which this model ends an answer."""
        return next((end for end in ENDS if len(self._decoder.tokenize(end)) == 1), ENDS[0])

    def _complete(
        self, request: CompletionRequest, adapter: AdapterState | None, given_up: threading.Event
    ) -> Completion:
        lora = _lora(adapter)
        query = with_own_specials(request.prompt, self._end) or self._end
        prompt, cut = without_trailing_spaces(self._decoder.apply_template(query) if request.auto_template else query)
        if request.choices is not None:
            return Completion(self._choose(prompt, request.choices, request, lora, given_up), "stop")
        sampling = Sampling(
            max_tokens=request.max_tokens,
            temperature=request.temperature,
            top_k=request.top_k,
            top_p=request.top_p,
            seed=self._seed_for(request, lora),
            stop=END,
        )
        text, reason = self._continued(prompt, sampling, lora, given_up)
        if is_blank(text) and not request.auto_template and BEGIN_OF_TURN not in query:
            with contextlib.suppress(TooLong):  # the template has tokens of its own
                text, reason = self._continued(self._decoder.apply_template(query), sampling, lora, given_up)
        if is_blank(text):
            text, reason = self._continued(prompt, replace(sampling, visible=True), lora, given_up)
        return Completion(text.lstrip(" ") if cut else text, reason)

    def _continued(
        self, prompt: str, sampling: Sampling, lora: Path | None, given_up: threading.Event
    ) -> tuple[str, str]:
        """As `Decoder.complete`, without Llama's special token for the beginning: no hosted answer shows one."""
        text, reason = self._decoder.complete(prompt, sampling, lora, given_up)
        return text.replace(BEGIN, ""), reason

    def _choose(
        self,
        prompt: str,
        choices: Sequence[str],
        request: CompletionRequest,
        lora: Path | None,
        given_up: threading.Event,
    ) -> str:
        """The likeliest choice, or one drawn by its likelihood when the temperature asks for it.

        Scoring whole choices beats steering the generation with a grammar, which can be led astray by the first
        letters: 23 of 24 short reviews against 18, 17 of 20 topics against 13.
        """
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
        tokenised, total = [], 0
        for number, sample in enumerate(samples, 1):
            tokenised.append(self._tokenised(sample, number))
            total += len(tokenised[-1].ids)
            if total > MAX_CALL_TOKENS:
                raise TooLong(
                    f"The first {number} of the {len(samples)} samples have {total} tokens together and one call takes "
                    f"{MAX_CALL_TOKENS}: split them over calls."
                )
            if given_up.is_set():
                raise CallerGone
        job = TuningJob(tuple(tokenised), adapter.rank, adapter.learning_rate, adapter.folder, into)
        result = self._tuner.tune(job, given_up)
        return TuningOutcome(result.trainable_tokens, result.sum_loss, result.steps)

    def _tokenised(self, sample: TuningSample, number: int) -> TokenSample:
        """Tokens of a sample, the end among them."""
        ids: list[int] = []
        labels: list[int] = []
        for part in sample_parts(sample.parts, self._end):
            tokens = self._decoder.tokenize(part.text, part.parse_special_tokens)
            ids += tokens
            labels += tokens if part.trainable else [NOT_TRAINABLE] * len(tokens)
        _check_sample(number, ids, labels)
        return TokenSample(tuple(ids), tuple(labels), sample.multiplier)

    def tokenize(self, text: str) -> list[Token]:
        return [Token(*token) for token in self._decoder.pieces(with_own_specials(text, self._end))]

    def next_tokens(
        self, prompt: str, count: int, base_slug: str, adapter: AdapterState | None, given_up: threading.Event
    ) -> list[LikelyToken]:
        prompt, _ = without_trailing_spaces(with_own_specials(prompt, self._end) or self._end)
        with self._tuner.completing():
            found = self._decoder.next_tokens(prompt, count, _lora(adapter), given_up)
        (end,) = self._decoder.tokenize(self._end)  # a special token has no piece of text
        return [LikelyToken(one, self._end if one == end else piece, share) for one, piece, share in found]

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
        return Load(self._decoder.threads, self._cores.limit, self._cores.others, self._tuner.running)

    def close(self) -> None:
        self._tuner.close()
        self._embedder.close()
        self._decoder.close()
        self._cores.close()


def _lora(adapter: AdapterState | None) -> Path | None:
    """The file of an adapter that has been tuned."""
    return None if adapter is None or adapter.folder is None else adapter.folder / GGUF_FILE


def _check_sample(number: int, ids: list[int], labels: list[int]) -> None:
    if len(ids) > MAX_SAMPLE_TOKENS:
        raise TooLong(
            f"Sample {number} has {len(ids)} tokens and a sample may have {MAX_SAMPLE_TOKENS}, as many as the model's "
            "context holds: shorten it or split it."
        )
    if all(label == NOT_TRAINABLE for label in labels[1:]):
        raise NothingToLearn(
            f"Sample {number} has nothing to learn: at least one part with trainable true must follow some context."
        )


def is_blank(text: str) -> bool:
    """Whether there is nothing in a text that can be seen."""
    return re.search(r"[^\s\ufeff\u200b]", text) is None
