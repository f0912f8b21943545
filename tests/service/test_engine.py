"""The least that an engine can be: it completes and fine-tunes, and everything else has a default."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from helpers.service.engine import AdapterState, Completion, CompletionRequest, Engine, TuningOutcome, TuningSample
from helpers.service.refusals import NotServed

NEVER = threading.Event()


class Least(Engine):
    """What is abstract, and no more."""

    weights_name = "None"

    def complete(
        self, request: CompletionRequest, base_slug: str, adapter: AdapterState | None, given_up: threading.Event
    ) -> Completion:
        return Completion("", "stop")

    def fine_tune(
        self, samples: list[TuningSample], adapter: AdapterState, into: Path, given_up: threading.Event
    ) -> TuningOutcome:
        return TuningOutcome(0, 0.0, 0)


def test_what_it_does_not_do_is_refused_with_a_sentence():
    engine = Least()
    for call in (
        lambda: engine.tokenize("x"),
        lambda: engine.next_tokens("x", 3, "nous-hermes2", None, NEVER),
        lambda: engine.embed(["x"], NEVER),
    ):
        with pytest.raises(NotServed, match="This service answers without"):
            call()


def test_what_it_does_not_have_is_nothing(tmp_path):
    engine = Least()
    assert (engine.weights, engine.doing, engine.load()) == (None, None, None)
    assert (engine.base_files(), engine.adapter_files(tmp_path, "x")) == ({}, {})
    assert engine.weights_named_in(tmp_path) is None
    assert engine.embedding_tokens(["x"], NEVER) == 0
    engine.prepare_tuning()
    engine.close()
