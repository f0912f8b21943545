"""The exercises of lesson 6: the loss, a gradient and the optimizer, each as a function of the learner's own.

Called by `attempt`. A function is tried on numbers that its author has not seen; none of them needs a model.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from ..language import _
from .exercise import Exercise, Question
from .functions import compare, number, tried
from .not_yet import NotYet

LOGITS = ([0.0, 0.0, 0.0, 0.0], [2.0, -1.0, 0.5], [3.0, 3.5, -2.0, 0.25, 1.0], [-5.0, 5.0])
LARGE = [1000.0, 998.0, 0.0]  # e to the 1000 is no number
CURVES: Sequence[tuple[str, Callable[[float], float], Callable[[float], float]]] = (
    ("x * x", lambda x: x * x, lambda x: 2 * x),
    ("x ** 3 - x", lambda x: x**3 - x, lambda x: 3 * x * x - 1),
    ("sin(x)", math.sin, math.cos),
    ("exp(-x)", lambda x: math.exp(-x), lambda x: -math.exp(-x)),
)
POINTS = (-1.3, 0.4, 2.0)
GRADIENTS = (0.3, -0.2, 0.5)
RATE = 0.1
# Where AdamW takes a number that begins at 1, step by step, with these gradients and this rate.
PLACES = (0.9000000033333332, 0.8855479509285968, 0.8271877955938352)


def nats(loss: Callable[[list[float], int], float]) -> str:
    """Whether a function computes the loss of a token.

    Args:
        loss: takes the logits of all words, and the number of the right one.

    Raises:
        NotYet: it is no such function, or another number comes out.
    """
    for logits in LOGITS:
        for target in range(len(logits)):
            expected = math.log(sum(map(math.exp, logits))) - logits[target]
            compare(
                _("with logits {logits} and target {target}", logits=logits, target=target),
                number(tried(loss, list(logits), target)),
                expected,
                1e-6,
            )
    for target, expected in enumerate((0.126928, 2.126928, 1000.126928)):
        compare(
            _("with logits {logits} and target {target}", logits=LARGE, target=target),
            number(tried(loss, list(LARGE), target)),
            expected,
            1e-5,
        )
    return _("All losses are right, those of large logits too.")


def slope(gradient: Callable[[Callable[[float], float], float], float]) -> str:
    """Whether a function finds the slope of any curve by nudging.

    Args:
        gradient: takes a function of a number, and a number.

    Raises:
        NotYet: it is no such function, or another number comes out.
    """
    for name, curve, derivative in CURVES:
        for point in POINTS:
            found = number(tried(gradient, curve, point))
            compare(_("for {name} at {point}", name=name, point=point), found, derivative(point), 1e-5)
    return _(
        "The slopes of {curves} curves are right, each in {places} places.", curves=len(CURVES), places=len(POINTS)
    )


def adamw(step: Callable[..., tuple[float, float, float]]) -> str:
    """Whether a function takes steps of AdamW.

    Args:
        step: takes a number, its gradient, the running means of gradient and square, how many steps there are with
            this one, and the rate; gives the number and the two means after the step.

    Raises:
        NotYet: it is no such function, or another number comes out.
    """
    value, mean, square = 1.0, 0.0, 0.0
    for count, (gradient, place) in enumerate(zip(GRADIENTS, PLACES, strict=True), 1):
        found = tried(step, value, gradient, mean, square, count, RATE)
        if not isinstance(found, (tuple, list)) or len(found) != 3:
            raise NotYet(
                _("a step gives the value, the mean and the square, and this gave {kind}.", kind=type(found).__name__)
            )
        value, mean, square = (number(part) for part in found)
        compare(_("after step {count} with gradient {gradient}", count=count, gradient=gradient), value, place, 1e-6)
    return _("Three steps, and the number is at {value:.4f}, where the tuner's own optimizer takes it.", value=value)


EXERCISES = {
    "nats": Exercise(
        nats,
        "The softmax makes chances of the logits; the loss is minus the logarithm of the target's. Take "
        "the largest logit off all of them first: the chances stay, and e to the 1000 is never needed.",
    ),
    "slope": Exercise(
        slope,
        "The loss a little to the right, minus the loss a little to the left, divided by how far these are apart.",
    ),
    "adamw": Exercise(
        adamw,
        "Nine tenths of the old mean and a tenth of the gradient; 0.999 and 0.001 for the square. After "
        "`count` steps the mean lacks 0.9 ** count, the square 0.999 ** count: divide by 1 minus that "
        "before you use them.",
    ),
}

QUESTIONS = {
    "a_zero": Question(
        "B begins at zero. What if A began at zero as well?",
        {
            "It would learn at half the speed.": "B's gradient is made with A x, and A's with B; with both at "
            "zero, both gradients are zero.",
            "It would never learn anything.": "each waits for the other for ever.",
            "It would begin further away from the base model.": "B A is zero either way, so it begins exactly there.",
        },
        "It would never learn anything.",
    ),
    "half_chance": Question(
        "The mean loss is 0.69 nats. How likely is the right token, roughly?",
        {
            "69 of 100": "0.69 is the loss; the chance is e to the minus 0.69.",
            "31 of 100": "a chance is not 1 minus the loss, which can be far above 1.",
            "50 of 100": "E to the minus 0.69 is a half. The tuner stops when every token is at least there.",
        },
        "50 of 100",
    ),
    "not_trainable": Question(
        "A token is marked `trainable: False`. What can a fine-tune do to it?",
        {
            "Nothing, it is frozen.": "what is frozen are the base model's matrices. The adapter works on every token.",
            "It may be predicted better or worse afterwards.": "no one looks at its loss, and the steps for the "
            'other tokens move it along, as "cat" above.',
            "It is no longer read.": "the tokens after it look at it as before: it is their context.",
        },
        "It may be predicted better or worse afterwards.",
    ),
    "first_step": Question(
        "Why was the first step of AdamW as long as the rate?",
        {
            "The gradients had been clipped to 1.": "clipping shortens all gradients together, and these were "
            "short enough.",
            "B was zero.": "a number that is not zero moves as far in a first step.",
            "The mean and the root of the mean square were the same number.": "after one gradient both are its "
            "size, and only the sign is left.",
        },
        "The mean and the root of the mean square were the same number.",
    ),
}
