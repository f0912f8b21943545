"""The exercises of lesson 6 try a learner's functions, and take no others."""

from __future__ import annotations

import math

import numpy as np
import pytest

from helpers import exercises
from helpers.exercises import inside
from helpers.service.tuner import recipe, small
from helpers.service.tuner.adamw import AdamW
from tests.helpers.test_exercises import NONSENSE, assert_not_yet


def loss(logits, target):
    largest = max(logits)
    return largest + math.log(sum(math.exp(logit - largest) for logit in logits)) - logits[target]


def slope(function, x):
    return (function(x + 1e-5) - function(x - 1e-5)) / 2e-5


def step(value, gradient, mean, square, count, rate):
    mean = 0.9 * mean + 0.1 * gradient
    square = 0.999 * square + 0.001 * gradient**2
    unbiased = math.sqrt(square / (1 - 0.999**count))
    return value - rate * mean / (1 - 0.9**count) / (unbiased + 1e-8), mean, square


RIGHT = {"nats": loss, "slope": slope, "adamw": step}


def test_what_is_right_is_taken_with_numpys_numbers_too():
    for name, function in RIGHT.items():
        assert exercises.attempt(name, function)[0] is True, name
    assert exercises.attempt("nats", lambda logits, target: np.float64(loss(logits, target)))[0] is True
    assert exercises.attempt("adamw", lambda *given: list(map(np.float64, step(*given))))[0] is True


@pytest.mark.parametrize("name", RIGHT)
@pytest.mark.parametrize("nonsense", NONSENSE, ids=range(len(NONSENSE)))
def test_no_nonsense_passes(name, nonsense):
    assert_not_yet(name, nonsense)
    assert_not_yet(name, lambda *_: nonsense)
    assert_not_yet(name, lambda *_: (nonsense, nonsense, nonsense))


@pytest.mark.parametrize("name", RIGHT)
def test_a_function_of_another_exercise_does_not_pass(name):
    for other in set(RIGHT) - {name}:
        assert_not_yet(name, RIGHT[other])


@pytest.mark.parametrize(
    ("name", "wrong", "words"),
    [
        ("nats", lambda logits, target: -math.log(math.exp(logits[target]) / sum(map(math.exp, logits))), "Overflow"),
        ("nats", lambda logits, target: loss(logits, 0), "target 1"),
        ("nats", lambda logits, target: -loss(logits, target), "is right"),
        ("slope", lambda function, x: (function(x + 0.1) - function(x)) / 0.1, "for x * x"),
        ("slope", lambda function, x: 2 * x, "for x ** 3 - x"),
        ("adamw", lambda value, gradient, mean, square, count, rate: (value - rate * gradient, 0, 0), "after step 1"),
        ("adamw", lambda *given: step(*given[:4], 1, given[5]), "after step 2"),
        ("adamw", lambda *given: step(*given[:2], 0.0, *given[3:]), "after step 2"),
        ("adamw", lambda *given: step(*given)[:2], "gave tuple"),
    ],
)
def test_the_usual_mistakes_are_found_and_named(name, wrong, words):
    solved, reason = exercises.attempt(name, wrong)
    assert solved is False
    assert words in reason


def test_the_places_of_the_optimizers_exercise_are_those_of_the_tuners_own():
    lora = recipe.fresh(small.small_llama(), 2)
    for values in lora.named().values():
        values[:] = 1.0
    optimizer = AdamW(lora, inside.RATE, {})
    for gradient, place in zip(inside.GRADIENTS, inside.PLACES, strict=True):
        optimizer.step({name: np.full_like(values, gradient) for name, values in lora.named().items()})
        assert lora.b["up_proj"][0, 0, 0] == pytest.approx(place, abs=1e-12)
