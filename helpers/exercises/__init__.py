"""Checkers of the lessons' exercises: they try what the learner built, and say what was wrong.

In a notebook: `exercises.check("few_shot", shots, model)`, and `exercises.hint("few_shot")` for a hint. A checker
judges behaviour, never one exact wording; it takes the SDK's model, so that the same exercise works on any endpoint.
There is one module a lesson: `setup.py`, `chaining.py`, `fine_tuning.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .chaining import FEW_SHOT_HINT, VERBS, few_shot, few_shot_prompt
from .fine_tuning import MAX_WORDS, OWN_FACT_HINT, own_fact
from .not_yet import NotYet
from .setup import FINISH_HINT, PETS, finish

__all__ = ["MAX_WORDS", "PETS", "VERBS", "NotYet", "attempt", "check", "few_shot_prompt", "hint"]

_EXERCISES: dict[str, tuple[Callable[..., str], str]] = {
    "finish": (finish, FINISH_HINT),
    "few_shot": (few_shot, FEW_SHOT_HINT),
    "own_fact": (own_fact, OWN_FACT_HINT),
}


def check(name: str, *answer: Any) -> None:
    """Tries an answer and prints what came of it.

    Args:
        name: the exercise.
        answer: what the exercise asks for.

    Raises:
        ValueError: there is no such exercise.
    """
    solved, reason = attempt(name, *answer)
    print(f"Right! {reason}" if solved else f"Not yet: {reason} exercises.hint({name!r}) helps.")


def attempt(name: str, *answer: Any) -> tuple[bool, str]:
    """Tries an answer.

    Returns:
        Whether the exercise is solved, and a sentence that says why.

    Raises:
        ValueError: there is no such exercise.
    """
    checker, _ = _exercise(name)
    try:
        return True, checker(*answer)
    except NotYet as reason:
        return False, str(reason)


def hint(name: str) -> None:
    """Prints a hint.

    Raises:
        ValueError: there is no such exercise.
    """
    print(_exercise(name)[1])


def _exercise(name: str) -> tuple[Callable[..., str], str]:
    if name not in _EXERCISES:
        raise ValueError(f"There is no exercise {name!r}; there are {', '.join(_EXERCISES)}.")
    return _EXERCISES[name]
