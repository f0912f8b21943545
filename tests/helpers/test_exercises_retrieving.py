"""The exercises of lesson 4: functions tried on vectors of ours, and a sentence that is read."""

from __future__ import annotations

import numpy as np
import pytest

from helpers import exercises
from helpers.exercises import retrieving
from helpers.service.engine import Completion
from tests.helpers.test_exercises import NONSENSE, assert_not_yet

SENTENCE = "My red bicycle is called Rocket and stands in the cellar."


def cosine(one, other):
    return np.dot(one, other) / np.linalg.norm(one) / np.linalg.norm(other)


def nearest(question, vectors, k):
    return (-(np.array(vectors) @ question)).argsort()[:k]


@pytest.fixture
def reading(engine, monkeypatch):
    """A model that answers with the word that is asked for, but for the words in the list."""
    unread: list[str] = []

    def complete(request, *_):
        (word,) = (word for question, word in retrieving.BICYCLE.items() if question in request.prompt)
        return Completion(" no idea" if word in unread else f" It is {word}.", "stop")

    monkeypatch.setattr(engine, "complete", complete)
    return unread


def test_what_is_right_is_taken_with_numpys_numbers_too():
    assert exercises.attempt("cosine", cosine)[0] is True
    assert exercises.attempt("nearest", nearest)[0] is True
    assert exercises.attempt("nearest", lambda *given: [int(number) for number in nearest(*given)])[0] is True


@pytest.mark.parametrize("nonsense", NONSENSE, ids=range(len(NONSENSE)))
def test_no_nonsense_passes(base, reading, nonsense):
    for name in ("cosine", "nearest"):
        assert_not_yet(name, nonsense)
        assert_not_yet(name, lambda *_: nonsense)
        assert_not_yet(name, lambda *_: [nonsense] * 3)
    assert_not_yet("context", nonsense, base)
    assert_not_yet("context", SENTENCE, nonsense)


@pytest.mark.parametrize(
    ("name", "wrong", "words"),
    [
        ("cosine", np.dot, "0.96 is right"),
        ("cosine", lambda one, other: abs(cosine(one, other)), "-1 is right"),
        ("nearest", lambda question, vectors, k: list(range(k)), "others than the"),
        ("nearest", lambda question, vectors, k: nearest(question, vectors, k)[::-1], "in another order"),
        ("nearest", lambda question, vectors, k: nearest(question, vectors, 1), "a list of 3"),
    ],
)
def test_the_usual_mistakes_are_found_and_named(name, wrong, words):
    solved, reason = exercises.attempt(name, wrong)
    assert solved is False
    assert words in reason


def test_a_sentence_is_judged_by_what_is_read_from_it(base, reading):
    assert exercises.attempt("context", SENTENCE, base) == (True, "All three are answered from your sentence.")
    reading.append("Rocket")
    assert "it says 'no idea'" in exercises.attempt("context", SENTENCE, base)[1]


@pytest.mark.parametrize(
    ("sentence", "words"),
    [
        ("My blue bicycle is called Rocket and stands in the cellar.", "'red' is missing"),
        ("Question: red? Answer: Rocket, cellar", "without questions"),
        (f"{SENTENCE} " * 3, "at most 25 words"),
    ],
)
def test_what_is_no_such_sentence_is_refused_before_it_is_asked(base, engine, sentence, words):
    assert words in exercises.attempt("context", sentence, base)[1]
    assert engine.requests == []
