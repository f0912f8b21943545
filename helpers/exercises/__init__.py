"""Checkers of the lessons' exercises: they try what the learner built, and say what was wrong. And the questions.

In a notebook: `exercises.check("few_shot", shots, model)`, and `exercises.hint("few_shot")` for a hint;
`exercises.question("nats")` asks a question (`quiz.py`), and `exercises.progress()` says what is done (`done.py`).

A checker judges behaviour, never one exact wording; it takes the SDK's model, so that the same exercise works on any
endpoint. The modules are by lesson; an exercise has a row in EXERCISES, a question one in `questions.py`. Whatever an
answer is, a learner gets a sentence and no stack trace; what is no answer of the kind that is asked for is never right.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

from ..errors import BadInput, GradientError, one_sentence
from . import done
from .chaining import FEW_SHOT_HINT, VERBS, few_shot, few_shot_prompt
from .classifying import SORTER_HINT, WORST_HINT, sorter, worst_mistake
from .fine_tuning import MAX_WORDS, OWN_FACT_HINT, own_fact
from .inside import ADAMW_HINT, NATS_HINT, SLOPE_HINT, adamw, nats, slope
from .not_yet import NotYet
from .own_project import PROJECT_HINT, UNRELATED, project
from .questions import QUESTIONS
from .quiz import question
from .retrieving import CONTEXT_HINT, COSINE_HINT, NEAREST_HINT, context, cosine, nearest
from .setup import FINISH_HINT, PETS, finish

__all__ = [
    "MAX_WORDS",
    "PETS",
    "UNRELATED",
    "VERBS",
    "NotYet",
    "attempt",
    "check",
    "few_shot_prompt",
    "hint",
    "progress",
    "question",
]

MODELS = {"model", "base"}  # the names that a checker's last argument has if it is a model
MAX_SAID = 200  # characters of an error's own words


class Exercise(NamedTuple):
    """An exercise: the number of its lesson, what tries an answer, and its hint."""

    lesson: int
    checker: Callable[..., str]
    hint: str


EXERCISES = {
    "finish": Exercise(1, finish, FINISH_HINT),
    "few_shot": Exercise(2, few_shot, FEW_SHOT_HINT),
    "own_fact": Exercise(3, own_fact, OWN_FACT_HINT),
    "cosine": Exercise(4, cosine, COSINE_HINT),
    "nearest": Exercise(4, nearest, NEAREST_HINT),
    "context": Exercise(4, context, CONTEXT_HINT),
    "worst_mistake": Exercise(5, worst_mistake, WORST_HINT),
    "sorter": Exercise(5, sorter, SORTER_HINT),
    "project": Exercise(5, project, PROJECT_HINT),
    "nats": Exercise(6, nats, NATS_HINT),
    "slope": Exercise(6, slope, SLOPE_HINT),
    "adamw": Exercise(6, adamw, ADAMW_HINT),
}


def check(name: str, *answer: Any) -> None:
    """Tries an answer and prints what came of it.

    Args:
        name: the exercise.
        answer: what the exercise asks for.

    Raises:
        BadInput: there is no such exercise.
    """
    solved, reason = attempt(name, *answer)
    print(f"Right! {reason}" if solved else f"Not yet: {reason} exercises.hint({name!r}) helps.")


def attempt(name: str, *answer: Any) -> tuple[bool, str]:
    """Tries an answer of any kind; what an endpoint refuses, or what goes wrong, is a reason like others.

    Returns:
        Whether the exercise is solved, and a sentence that says why.

    Raises:
        BadInput: there is no such exercise.
    """
    checker = _exercise(name).checker
    try:
        _require_all(name, checker, answer)
        with one_sentence("the endpoint"):
            reason = checker(*answer)
        done.keep("exercises", name)
        return True, reason
    except (NotYet, GradientError) as reason:
        return False, str(reason)
    except Exception as error:  # noqa: BLE001 - no answer, whatever it is, ends in a stack trace
        return False, f"that can't be tried ({type(error).__name__}{_said(error)})."


def hint(name: str) -> None:
    """Prints a hint.

    Raises:
        BadInput: there is no such exercise.
    """
    print(_exercise(name).hint)


def progress() -> None:
    """Prints what is done of each lesson, and what is left."""
    solved, answered = done.kept()["exercises"], done.kept()["questions"]
    for lesson in sorted({one.lesson for one in EXERCISES.values()}):
        own = [name for name, one in EXERCISES.items() if one.lesson == lesson]
        asked = [name for name, one in QUESTIONS.items() if one.lesson == lesson]
        left = [name for name in (*own, *asked) if name not in (*solved, *answered)]
        print(
            f"Lesson {lesson}: {sum(name in solved for name in own)} of {len(own)} exercises, "
            f"{sum(name in answered for name in asked)} of {len(asked)} questions."
            + (f" Left: {', '.join(left)}." if left else "")
        )


def _require_all(name: str, checker: Callable[..., str], answer: tuple[Any, ...]) -> None:
    """Refuses an answer of too few or too many parts, or whose last one is no model."""
    wanted = list(inspect.signature(checker).parameters)
    call = f"exercises.check({name!r}, {', '.join(wanted)})"
    if len(answer) != len(wanted):
        raise NotYet(f"an answer to this exercise is given as {call}.")
    if wanted[-1] in MODELS and not callable(getattr(answer[-1], "complete", None)):
        raise NotYet(f"the model comes last, as in {call}.")


def _said(error: Exception) -> str:
    """An exception's own words, in one line; those of a learner's own object may fail themselves."""
    try:
        words = " ".join(str(error).split())
    except Exception:  # noqa: BLE001
        words = ""
    return f": {words[:MAX_SAID]}" if words else ""


def _exercise(name: str) -> Exercise:
    if not isinstance(name, str) or name not in EXERCISES:
        raise BadInput(f"There is no exercise {name!r:.60}; there are {', '.join(EXERCISES)}.")
    return EXERCISES[name]
