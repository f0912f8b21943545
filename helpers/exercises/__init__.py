"""Checkers of the lessons' exercises: they try what the learner built, and say what was wrong.

In a notebook: `exercises.check("few_shot", shots, model)`, and `exercises.hint("few_shot")` for a hint. A checker
judges behaviour, never one exact wording; it takes the SDK's model, so that the same exercise works on any endpoint.
The modules are by lesson: `setup.py`, `chaining.py`, `fine_tuning.py`, `retrieving.py`, `classifying.py` with
`own_project.py`, `inside.py`. Whatever an answer is, a learner gets a sentence and no stack trace; what is no answer of
the kind that is asked for is never right.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from ..errors import GradientError, one_sentence
from .chaining import FEW_SHOT_HINT, VERBS, few_shot, few_shot_prompt
from .classifying import SORTER_HINT, WORST_HINT, sorter, worst_mistake
from .fine_tuning import MAX_WORDS, OWN_FACT_HINT, own_fact
from .inside import ADAMW_HINT, NATS_HINT, SLOPE_HINT, adamw, nats, slope
from .not_yet import NotYet
from .own_project import PROJECT_HINT, UNRELATED, project
from .retrieving import CONTEXT_HINT, COSINE_HINT, NEAREST_HINT, context, cosine, nearest
from .setup import FINISH_HINT, PETS, finish

__all__ = ["MAX_WORDS", "PETS", "UNRELATED", "VERBS", "NotYet", "attempt", "check", "few_shot_prompt", "hint"]

MODELS = {"model", "base"}  # the names that a checker's last argument has if it is a model
MAX_SAID = 200  # characters of an error's own words

_EXERCISES: dict[str, tuple[Callable[..., str], str]] = {
    "finish": (finish, FINISH_HINT),
    "few_shot": (few_shot, FEW_SHOT_HINT),
    "own_fact": (own_fact, OWN_FACT_HINT),
    "cosine": (cosine, COSINE_HINT),
    "nearest": (nearest, NEAREST_HINT),
    "context": (context, CONTEXT_HINT),
    "worst_mistake": (worst_mistake, WORST_HINT),
    "sorter": (sorter, SORTER_HINT),
    "project": (project, PROJECT_HINT),
    "nats": (nats, NATS_HINT),
    "slope": (slope, SLOPE_HINT),
    "adamw": (adamw, ADAMW_HINT),
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
    """Tries an answer of any kind; what an endpoint refuses, or what goes wrong, is a reason like others.

    Returns:
        Whether the exercise is solved, and a sentence that says why.

    Raises:
        ValueError: there is no such exercise.
    """
    checker, _ = _exercise(name)
    try:
        _require_all(name, checker, answer)
        with one_sentence("the endpoint"):
            return True, checker(*answer)
    except (NotYet, GradientError) as reason:
        return False, str(reason)
    except Exception as error:  # noqa: BLE001 - no answer, whatever it is, ends in a stack trace
        return False, f"that can't be tried ({type(error).__name__}{_said(error)})."


def hint(name: str) -> None:
    """Prints a hint.

    Raises:
        ValueError: there is no such exercise.
    """
    print(_exercise(name)[1])


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


def _exercise(name: str) -> tuple[Callable[..., str], str]:
    if not isinstance(name, str) or name not in _EXERCISES:
        raise ValueError(f"There is no exercise {name!r}; there are {', '.join(_EXERCISES)}.")
    return _EXERCISES[name]
