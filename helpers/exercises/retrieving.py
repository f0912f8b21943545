"""The exercises of lesson 4: nearness, a store of one's own, and a sentence to read from. Called by `attempt`."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

from ..language import _
from .exercise import Exercise, Question
from .fine_tuning import question_prompt, says
from .functions import compare, number, tried
from .not_yet import NotYet

PAIRS = (
    ([1.0, 0.0], [1.0, 0.0], 1.0),
    ([1.0, 0.0], [0.0, 2.0], 0.0),
    ([3.0, 4.0], [4.0, 3.0], 0.96),
    ([2.0, 0.0, 0.0], [-5.0, 0.0, 0.0], -1.0),
    ([1.0, 2.0, 2.0], [2.0, 1.0, -2.0], 0.0),
)
STORES = ((5, 1), (12, 3), (40, 4))  # how many vectors, and how many of them are asked for
WIDTH = 8

BICYCLE = {
    "What colour is my bicycle?": "red",
    "What is my bicycle called?": "Rocket",
    "Where does my bicycle stand?": "cellar",
}
"""Questions about what the sentence tells, and the words that it has to tell: others would not be judged."""
MAX_WORDS = 25
ASK_TOKENS = 24


def cosine(function: Callable[[Sequence[float], Sequence[float]], float]) -> str:
    """Whether a function computes the cosine of two vectors.

    Args:
        function: takes two lists of numbers.

    Raises:
        NotYet: it is no such function, or another number comes out.
    """
    for one, other, expected in PAIRS:
        compare(
            _("for {one} and {other}", one=one, other=other),
            number(tried(function, list(one), list(other))),
            expected,
            1e-6,
        )
    return _("{count} of {count} are right, whatever the vectors' length.", count=len(PAIRS))


def nearest(function: Callable[[Sequence[float], Sequence[Sequence[float]], int], Sequence[int]]) -> str:
    """Whether a function finds the vectors that are nearest to another, all of length 1.

    Args:
        function: takes a vector, a list of vectors and how many are wanted; gives their numbers, the nearest first.

    Raises:
        NotYet: it is no such function, or it finds others.
    """
    draw = random.Random(4)
    for size, k in STORES:
        question, *vectors = (_direction(draw) for place in range(size + 1))
        nearness = [sum(a * b for a, b in zip(question, vector, strict=True)) for vector in vectors]
        expected = sorted(range(size), key=lambda at: -nearness[at])[:k]
        found = tried(function, list(question), [list(vector) for vector in vectors], k)
        if not hasattr(found, "__len__") or isinstance(found, (str, bytes, dict)) or len(found) != k:
            raise NotYet(_("of {size} vectors the {k} nearest are wanted: a list of {k} numbers.", size=size, k=k))
        if [number(one) for one in found] != expected:
            raise NotYet(
                _("of {size} vectors it finds others than the {k} nearest, or in another order.", size=size, k=k)
            )
    return _("Right in stores of {sizes} vectors.", sizes=", ".join(str(size) for size, k in STORES))


def context(sentence: str, model: Any) -> str:
    """Whether a model answers the questions of BICYCLE from a sentence, and can't without it.

    Args:
        sentence: what it reads.
        model: what to ask.

    Raises:
        NotYet: it is no short sentence, it lacks one of the words, or the model does not find one.
    """
    if not isinstance(sentence, str) or not sentence.strip():
        raise NotYet(_("write a sentence, between quotes."))
    if len(sentence.split()) > MAX_WORDS or any(mark in sentence for mark in "\n?:"):
        raise NotYet(
            _("one sentence of at most {most} words is wanted, without questions and their answers.", most=MAX_WORDS)
        )
    missing = [word for word in BICYCLE.values() if not says(sentence, word)]
    if missing:
        raise NotYet(
            _(
                "let the bicycle be red, called Rocket, and stand in the cellar: {missing!r} is missing.",
                missing=missing[0],
            )
        )
    missed = ""
    for question, word in BICYCLE.items():
        prompt = f"{sentence.strip()}\n\n{question_prompt(question)}"
        answer = model.complete(query=prompt, max_generated_token_count=ASK_TOKENS).generated_output
        if says(answer, word):
            continue
        said = " ".join(answer.split())
        if missed:  # one it may misread, as it does with any sentence of ours
            raise NotYet(_("{missed}, and asked {question!r}, {said!r}.", missed=missed, question=question, said=said))
        missed = _("asked {question!r}, it says {said!r}", question=question, said=said)
    return (
        _("Two of three are answered from your sentence; {missed}.", missed=missed)
        if missed
        else _("All three are answered from your sentence.")
    )


def _direction(draw: random.Random) -> list[float]:
    """A vector of length 1."""
    values = [draw.gauss(0, 1) for place in range(WIDTH)]
    length = sum(value * value for value in values) ** 0.5
    return [value / length for value in values]


EXERCISES = {
    "cosine": Exercise(cosine, "The dot product, divided by the length of the one and by the length of the other."),
    "nearest": Exercise(
        nearest, "The dot product with each vector, and the numbers of the largest. `sorted` takes a `key`."
    ),
    "context": Exercise(context, "Short and plain: my red bicycle …; say each of the three things once."),
}

QUESTIONS = {
    "misread": Question(
        "The right fact was among those that were looked up, and the answer is wrong. What failed?",
        {
            "The embeddings.": "they found it: twenty of twenty were among the first three.",
            "The reading.": "the model chose among the three lines, and chose wrong. A better prompt or a "
            "fine-tune helps here.",
            "The store.": "it gave what it was asked for.",
        },
        "The reading.",
    ),
    "changes_weekly": Question(
        "A fact changes every week. Which way?",
        {
            "Look it up.": "one line is replaced, and the next question gets the new answer.",
            "Learn it anew each week.": "that costs a fine-tune a week, and the old fact has to be unlearned or "
            "the adapter made anew.",
            "Raise the temperature.": "chance knows no facts.",
        },
        "Look it up.",
    ),
    "the_limit": Question(
        "What does the limit of 0.4 do in `with_facts`?",
        {
            "It makes the search faster.": "all vectors are compared either way.",
            "It makes answers about the library more precise.": "it changes nothing for questions whose facts are "
            "near.",
            "It leaves questions alone that have nothing to do with the library.": "without it three facts stand "
            "before every question, and some of the answers follow them.",
        },
        "It leaves questions alone that have nothing to do with the library.",
    ),
}
