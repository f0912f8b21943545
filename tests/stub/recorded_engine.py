"""The stub server's engines: one records what the real engine says, the other replays it.

A recording is keyed by content (base model, the fine-tunes that the adapter has had, the request's parameters), so that
the order of requests does not matter and an adapter's state still does. Sampled requests may be repeated: their
answers are kept in order and replayed in a circle. `record.py` writes recordings, `plugin.py` replays them.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

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
from helpers.service.weights_identity import WeightsIdentity

RECORDINGS = Path(__file__).parent / "recordings.json"
HISTORY_FILE = "history.json"
COMMAND = "python -m tests.stub.record"


def completion_question(request: CompletionRequest, base_slug: str, adapter: AdapterState | None) -> dict[str, Any]:
    """All that the answer depends on, as JSON."""
    return {"base": base_slug, "adapter": _identity(adapter), "request": asdict(request)}


def tuning_question(samples: list[TuningSample], adapter: AdapterState) -> dict[str, Any]:
    """All that a fine-tune's outcome depends on, as JSON."""
    return {"base": adapter.base_slug, "adapter": _identity(adapter), "samples": [asdict(s) for s in samples]}


def tokens_question(text: str) -> dict[str, Any]:
    """All that a text's tokens depend on, as JSON."""
    return {"tokens": text}


def next_question(prompt: str, count: int, base_slug: str, adapter: AdapterState | None) -> dict[str, Any]:
    """All that the likeliest next tokens depend on, as JSON."""
    return {"base": base_slug, "adapter": _identity(adapter), "next": prompt, "count": count}


def embedding_question(text: str) -> dict[str, Any]:
    """All that a vector depends on, as JSON."""
    return {"embed": text}


def _identity(adapter: AdapterState | None) -> dict[str, Any] | None:
    """What makes an adapter what it is: how it learns, and what it has been taught."""
    if adapter is None:
        return None
    return {"rank": adapter.rank, "learning_rate": adapter.learning_rate, "history": _history(adapter)}


def _history(adapter: AdapterState) -> list[str]:
    """One digest per fine-tune that the adapter has had."""
    return json.loads((adapter.folder / HISTORY_FILE).read_text(encoding="utf-8")) if adapter.folder else []


def _digest(question: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(question, sort_keys=True).encode()).hexdigest()[:20]


def _write_history(adapter: AdapterState, samples: list[TuningSample], into: Path) -> None:
    digest = _digest({"samples": [asdict(sample) for sample in samples]})
    (into / HISTORY_FILE).write_text(json.dumps([*_history(adapter), digest]), encoding="utf-8")


class RecordingEngine(Engine):
    """Passes every call to the real engine and remembers what it said.

    Args:
        real: the engine that answers. It should be seeded, so that recording twice gives the same.
    """

    def __init__(self, real: Engine) -> None:
        self._real = real
        self._lock = threading.Lock()
        self.recordings: dict[str, dict[str, Any]] = {}

    @property
    def weights_name(self) -> str:
        return self._real.weights_name

    @property
    def weights(self) -> WeightsIdentity | None:
        return self._real.weights

    def adapter_files(self, folder: Path, base_name: str) -> dict[str, Path | bytes]:
        return self._real.adapter_files(folder, base_name)

    def base_files(self) -> dict[str, Path]:
        return self._real.base_files()

    def complete(
        self, request: CompletionRequest, base_slug: str, adapter: AdapterState | None, given_up: threading.Event
    ) -> Completion:
        with self._refusals_kept(completion_question(request, base_slug, adapter)) as keep:
            completion = self._real.complete(request, base_slug, adapter, given_up)
            keep(asdict(completion))
        return completion

    def fine_tune(
        self, samples: list[TuningSample], adapter: AdapterState, into: Path, given_up: threading.Event
    ) -> TuningOutcome:
        with self._refusals_kept(tuning_question(samples, adapter)) as keep:
            outcome = self._real.fine_tune(samples, adapter, into, given_up)
            keep(asdict(outcome))
        _write_history(adapter, samples, into)
        return outcome

    def tokenize(self, text: str) -> list[Token]:
        with self._refusals_kept(tokens_question(text)) as keep:
            tokens = self._real.tokenize(text)
            keep({"tokens": [[token.id, token.piece] for token in tokens]})
        return tokens

    def next_tokens(
        self, prompt: str, count: int, base_slug: str, adapter: AdapterState | None, given_up: threading.Event
    ) -> list[LikelyToken]:
        with self._refusals_kept(next_question(prompt, count, base_slug, adapter)) as keep:
            found = self._real.next_tokens(prompt, count, base_slug, adapter, given_up)
            found = [LikelyToken(one.id, one.piece, round(one.probability, 6)) for one in found]
            keep({"next": [[one.id, one.piece, one.probability] for one in found]})
        return found

    def embed(self, texts: Sequence[str], given_up: threading.Event) -> list[list[float]]:
        vectors = self._real.embed(texts, given_up)
        for text, vector in zip(texts, vectors, strict=True):
            with self._refusals_kept(embedding_question(text)) as keep:
                keep({"vector": _rounded(vector)})
        return vectors

    @contextmanager
    def _refusals_kept(self, question: dict[str, Any]) -> Iterator[Callable[[dict[str, Any]], None]]:
        """Gives a function that keeps an answer to a question; a refusal is kept as well, and raised on."""

        def keep(answer: dict[str, Any]) -> None:
            with self._lock:
                entry = self.recordings.setdefault(_digest(question), {"question": question, "answers": []})
                entry["answers"].append(answer)

        try:
            yield keep
        except refusals.Refusal as refusal:
            keep({"refusal": type(refusal).__name__, "message": refusal.message})
            raise

    def prepare_tuning(self) -> None:
        self._real.prepare_tuning()

    def close(self) -> None:
        self._real.close()


class RecordedEngine(Engine):
    """Replays recordings; refuses what was not recorded.

    Args:
        recordings: as `RecordingEngine.recordings` or `load_recordings` give them.
        weights_name: the name of the model that was recorded.
    """

    def __init__(self, recordings: dict[str, dict[str, Any]], weights_name: str) -> None:
        self.recordings = recordings
        self._weights_name = weights_name
        self._asked: Counter[str] = Counter()
        self._lock = threading.Lock()

    @property
    def weights_name(self) -> str:
        return self._weights_name

    def complete(
        self, request: CompletionRequest, base_slug: str, adapter: AdapterState | None, given_up: threading.Event
    ) -> Completion:
        return Completion(**self._replay(completion_question(request, base_slug, adapter)))

    def fine_tune(
        self, samples: list[TuningSample], adapter: AdapterState, into: Path, given_up: threading.Event
    ) -> TuningOutcome:
        answer = self._replay(tuning_question(samples, adapter))
        _write_history(adapter, samples, into)
        return TuningOutcome(**answer)

    def tokenize(self, text: str) -> list[Token]:
        return [Token(*token) for token in self._replay(tokens_question(text))["tokens"]]

    def next_tokens(
        self, prompt: str, count: int, base_slug: str, adapter: AdapterState | None, given_up: threading.Event
    ) -> list[LikelyToken]:
        answer = self._replay(next_question(prompt, count, base_slug, adapter))
        return [LikelyToken(*token) for token in answer["next"]]

    def embed(self, texts: Sequence[str], given_up: threading.Event) -> list[list[float]]:
        vectors = [self._replay(embedding_question(text))["vector"] for text in texts]
        return [[*vector, *[0.0] * (EMBEDDING_SIZE - len(vector))] for vector in vectors]

    def _replay(self, question: dict[str, Any]) -> dict[str, Any]:
        digest = _digest(question)
        entry = self.recordings.get(digest)
        if entry is None:
            raise refusals.NotServed(
                f"The stub server has no recording of this request ({refusals.quoted(question, 200)}): after a "
                f"change to a notebook, record anew with `{COMMAND}`."
            )
        with self._lock:
            turn = self._asked[digest]
            self._asked[digest] += 1
        answer = entry["answers"][turn % len(entry["answers"])]
        if "refusal" in answer:
            raise getattr(refusals, answer["refusal"])(answer["message"])
        return answer


def _rounded(vector: list[float]) -> list[float]:
    """A vector as it is kept: without the zeros at its end, and with as many digits as a ranking needs."""
    kept = [round(number, 6) for number in vector]
    while kept and kept[-1] == 0.0:
        kept.pop()
    return kept


def save_recordings(
    engine: RecordingEngine, path: Path = RECORDINGS, others: Mapping[str, dict[str, Any]] | None = None
) -> None:
    """Writes what an engine recorded, one entry a line, sorted, so that a change reads well in a diff.

    Args:
        engine: which recorded it.
        path: the file.
        others: recordings to write beside them, of what this engine was not asked.
    """
    kept = {**(others or {}), **engine.recordings}
    entries = [f"  {json.dumps(key)}: {json.dumps(kept[key], ensure_ascii=False)}" for key in sorted(kept)]
    head = f'{{"weights_name": {json.dumps(engine.weights_name)}, "recordings": {{\n'
    path.write_text(head + ",\n".join(entries) + "\n}}\n", encoding="utf-8")


def load_recordings(path: Path = RECORDINGS) -> RecordedEngine:
    """An engine that replays a file of recordings."""
    content = json.loads(path.read_text(encoding="utf-8"))
    return RecordedEngine(content["recordings"], content["weights_name"])
