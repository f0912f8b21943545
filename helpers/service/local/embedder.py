"""Vectors of texts: all-MiniLM-L6-v2 in numpy, on request, and out of memory again when no one asks.

`LocalEngine` is the only caller. The network is in `bert.py`, where its files come from in `embedder_files.py`. Both
numpy and the tokenizer are imported with the first text, so that a service that embeds nothing never loads them.

The hosted model was bge-large with 1024 numbers, and programs have stores of that width. This one has 384, so each
vector is filled up with zeros: no length and no dot product changes by that.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from .. import malloc
from ..engine import EMBEDDING_SIZE
from ..refusals import CallerGone
from .embedder_files import EmbedderFiles

# A longer text counts with its beginning, as the hosted service had it. All that the network has places for:
# sentence-transformers cuts after 256, and of 20 passages of some 390 tokens 14 instead of 20 are then found by what
# stands at their end. Shorter texts have the same vectors as there.
MAX_TOKENS = 512
MAX_CHARACTERS = 20_000  # no more are looked at: 512 tokens are 2,000 to 3,000 characters of English
BATCH_TOKENS = 1024  # at once: 20 MB, and 0.2 s until the next look whether someone still waits
TURN_SECONDS = 0.001  # between batches: a lock is not fair, and whoever waits for it gets it then
DIGITS = 9  # after the point: as exact as 32-bit floats of this size are
IDLE_SECONDS = 300  # after so long without a text the network goes
# LlamaIndex writes this in front of a query, as bge-large wants it. This network was trained without: of 20 questions
# 12 instead of 13 then find their passage first, and the mean reciprocal rank falls from 0.83 to 0.77.
QUERY_PREFIX = "Represent this sentence for searching relevant passages:"


class Embedder:
    """Makes vectors. Methods may be called from several threads; their batches take turns.

    Args:
        files: the model's.
        threads: how many threads are right now.
        clock: seconds, for tests.
    """

    def __init__(
        self, files: EmbedderFiles, threads: Callable[[], int], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._files = files
        self._threads = threads
        self._clock = clock
        self._lock = threading.Lock()  # held for moments, but while the network loads
        self._computing = threading.Lock()  # held for a batch: each takes all cores
        self._network: _Network | None = None
        self._used = clock()
        self._idle: threading.Timer | None = None

    @property
    def doing(self) -> tuple[str, float] | None:
        """What is being fetched, as `EmbedderFiles` says it."""
        return self._files.doing

    @property
    def is_loaded(self) -> bool:
        """Whether the network is in memory."""
        return self._network is not None

    def embed(self, texts: Sequence[str], given_up: threading.Event) -> list[list[float]]:
        """Vectors of texts, as `Engine.embed` promises them. A text counts with its first MAX_TOKENS tokens.

        Args:
            texts: any texts, empty ones too.
            given_up: once it is set, this ends before its next batch.

        Raises:
            Refusal: the model's files are not there; given up.
        """
        network = self._loaded(given_up)
        ids = network.ids(texts)
        vectors: list[list[float]] = [[]] * len(texts)
        for batch in batches([len(one) for one in ids]):
            if given_up.is_set():
                raise CallerGone
            with self._computing:
                found = network.vectors([ids[at] for at in batch], self._threads())
            for at, vector in zip(batch, found, strict=True):
                vectors[at] = vector
            time.sleep(TURN_SECONDS)
        self._used = self._clock()
        return vectors

    def tokens(self, texts: Sequence[str], given_up: threading.Event) -> int:
        """How many tokens of these texts count, all together.

        Args:
            texts: any number.
            given_up: set when no one waits any more.

        Raises:
            Refusal: as `embed`.
        """
        return sum(map(len, self._loaded(given_up).ids(texts)))

    def unload_if_idle(self) -> None:
        """Gives the network's memory back if no one has needed it for IDLE_SECONDS; else looks again later."""
        with self._lock:
            left = IDLE_SECONDS - (self._clock() - self._used)
            if left > 0:
                self._check_idle_in(left)
            else:
                self._forget()

    def close(self) -> None:
        """Gives the network's memory back."""
        with self._lock:
            self._forget()

    def _loaded(self, given_up: threading.Event) -> _Network:
        folder = self._files.wait(given_up)
        with self._lock:
            self._used = self._clock()
            if self._network is None:
                self._network = _Network(folder)
                self._check_idle_in(IDLE_SECONDS)
            return self._network

    def _forget(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
        self._network = self._idle = None
        malloc.give_back()

    def _check_idle_in(self, seconds: float) -> None:
        self._idle = threading.Timer(seconds, self.unload_if_idle)
        self._idle.daemon = True
        self._idle.start()


class _Network:
    """The network and its tokenizer in memory.

    Args:
        folder: of their files.
    """

    def __init__(self, folder: Path) -> None:
        from threadpoolctl import ThreadpoolController
        from tokenizers import Tokenizer

        from .bert import Bert

        self._bert = Bert(folder)
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(MAX_TOKENS)
        self._blas = ThreadpoolController().select(user_api="blas")  # llama.cpp has an OpenMP of its own beside it

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Of each text's tokens, at most MAX_TOKENS, the first and the last of which are always there."""
        return [found.ids for found in self._tokenizer.encode_batch([_cut(text) for text in texts])]

    def vectors(self, ids: Sequence[Sequence[int]], threads: int) -> list[list[float]]:
        """Of length 1, filled up to EMBEDDING_SIZE."""
        import numpy as np

        with self._blas.limit(limits=threads):
            found = self._bert.mean_states(ids).astype(np.float64)
        found /= np.linalg.norm(found, axis=1, keepdims=True)
        return np.pad(found.round(DIGITS), ((0, 0), (0, EMBEDDING_SIZE - found.shape[1]))).tolist()


def batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Which texts are computed together: by length, so that those of the same lie beside each other.

    Args:
        lengths: tokens of each text.

    Returns:
        Positions in `lengths`, each once, with BATCH_TOKENS tokens together at most, or one text.
    """
    batch: list[int] = []
    tokens = 0
    for at in sorted(range(len(lengths)), key=lengths.__getitem__):
        if batch and tokens + lengths[at] > BATCH_TOKENS:
            yield batch
            batch, tokens = [], 0
        batch.append(at)
        tokens += lengths[at]
    if batch:
        yield batch


def _cut(text: str) -> str:
    """The part of a text that counts, in characters that a tokenizer takes: half a surrogate pair is none."""
    rest = text.removeprefix(QUERY_PREFIX)
    text = rest if rest.strip() else text
    return text[:MAX_CHARACTERS].encode("utf-8", "replace").decode("utf-8")
