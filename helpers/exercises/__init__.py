"""The lessons' exercises and questions: checkers that try what a learner built, and say what was wrong.

In a notebook:

    exercises.check("few_shot", shots, base)    tries an answer
    exercises.hint("few_shot")                  prints a hint; the solution is folded under the cell
    exercises.question("cut_off")               shows a question with its choices, to click
    exercises.question("cut_off", "b")          the same in plain code: says whether b is right, and why
    exercises.progress()                        what is done, lesson by lesson

To write some for a lesson: a module here with `EXERCISES` (a dict of name and `Exercise`) and `QUESTIONS` (a dict of
name and `Question`), and its name in a line of `LESSONS` below. Names are unique over all lessons, and file names. A
checker judges behaviour, never one exact wording; it raises `NotYet` with a sentence that ends in a full stop, and
returns one when all is right. It takes the SDK's model last, if it needs one, so that the same exercise works on any
endpoint, and leaves no adapter behind. Whatever an answer is, a learner gets a sentence and no stack trace; what is no
answer of the kind that is asked for is never right. The tests give nonsense of every kind to every exercise.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .. import local_service
from ..errors import BadInput, GradientError, one_sentence
from ..language import _, later
from . import chaining, classifying, done, fine_tuning, inside, own_project, retrieving, setup
from .chaining import VERBS, few_shot_prompt
from .exercise import Exercise, Question
from .fine_tuning import MAX_WORDS
from .not_yet import NotYet
from .own_project import UNRELATED
from .setup import PETS

if TYPE_CHECKING:
    from ..forms.question import QuestionForm

__all__ = [
    "LESSONS",
    "MAX_WORDS",
    "PETS",
    "UNRELATED",
    "VERBS",
    "Exercise",
    "NotYet",
    "Question",
    "attempt",
    "check",
    "few_shot_prompt",
    "hint",
    "progress",
    "question",
]

MODELS = {"model", "base"}  # the names that a checker's last argument has if it is a model
PROGRESS_PATH = "/progress"
MAX_SAID = 200  # characters of an error's own words
NO_EXERCISE = later("There is no exercise {name!r}; there are {names}.")
NO_QUESTION = later("There is no question {name!r}; there are {names}.")

LESSONS = {
    "1 Setup": (setup,),
    "2 Chaining": (chaining,),
    "3 Fine-tuning": (fine_tuning,),
    "4 Retrieval": (retrieving,),
    "5 Classifier": (classifying, own_project),
    "6 Inside a fine-tune": (inside,),
}
"""The modules of each lesson, whose `EXERCISES` and `QUESTIONS` these are."""

_EXERCISES = {name: one for modules in LESSONS.values() for module in modules for name, one in module.EXERCISES.items()}
_QUESTIONS = {name: one for modules in LESSONS.values() for module in modules for name, one in module.QUESTIONS.items()}


def check(name: str, *answer: Any) -> None:
    """Tries an answer and prints what came of it.

    Args:
        name: the exercise.
        answer: what the exercise asks for.

    Raises:
        BadInput: there is no such exercise.
    """
    solved, reason = attempt(name, *answer)
    if solved:
        _keep(name)
    print(
        _("Right! {reason}", reason=reason)
        if solved
        else _("Not yet: {reason} exercises.hint({name!r}) helps.", reason=reason, name=name)
    )


def attempt(name: str, *answer: Any) -> tuple[bool, str]:
    """Tries an answer of any kind; what an endpoint refuses, or what goes wrong, is a reason like others.

    Returns:
        Whether the exercise is solved, and a sentence that says why.

    Raises:
        BadInput: there is no such exercise.
    """
    checker = _named(name, _EXERCISES, NO_EXERCISE).checker
    try:
        _require_all(name, checker, answer)
        with one_sentence(_("the endpoint")):
            return True, checker(*answer)
    except (NotYet, GradientError) as reason:
        return False, str(reason)
    except Exception as error:  # noqa: BLE001 - no answer, whatever it is, ends in a stack trace
        return False, _("that can't be tried ({error}).", error=f"{type(error).__name__}{_said(error)}")


def hint(name: str) -> None:
    """Prints a hint.

    Raises:
        BadInput: there is no such exercise.
    """
    print(_(_named(name, _EXERCISES, NO_EXERCISE).hint))


def question(name: str, choice: str | None = None) -> QuestionForm | None:
    """Asks a question, or says whether a choice is right and why.

    Args:
        name: the question.
        choice: the letter of a choice; without one the question is shown as a form.

    Returns:
        The form, to be a cell's last value; None if a choice was given.

    Raises:
        BadInput: there is no such question, or no such choice.
    """
    asked: Question = _named(name, _QUESTIONS, NO_QUESTION)
    if choice is not None:
        print(_verdict(name, asked, choice))
        return None
    from ..forms.question import QuestionForm

    choices = {letter: _(choice) for letter, choice in asked.lettered().items()}
    return QuestionForm(_(asked.asks), choices, lambda letter: _verdict(name, asked, letter), name)


def progress() -> None:
    """Prints how many exercises and questions of each lesson are done, and the names of those that are left."""
    solved = done.names()
    for lesson in LESSONS:
        exercises, questions = _names_of(lesson)
        left = [name for name in (*exercises, *questions) if name not in solved]
        counts = {
            "exercises": len(solved & set(exercises)),
            "all_exercises": len(exercises),
            "questions": len(solved & set(questions)),
            "all_questions": len(questions),
        }
        print(
            _(
                "{lesson:20} {exercises} of {all_exercises} exercises, {questions} of {all_questions} questions; "
                "left: {left}",
                lesson=_(lesson),
                left=", ".join(left) or _("none"),
                **counts,
            )
        )


def _names_of(lesson: str) -> tuple[list[str], list[str]]:
    """A lesson's exercises, and its questions."""
    modules = LESSONS[lesson]
    exercises = [name for module in modules for name in module.EXERCISES]
    return exercises, [name for module in modules for name in module.QUESTIONS]


def _keep(name: str) -> None:
    """Remembers that one is solved, and tells the local service the numbers, for the instructor of a room."""
    done.mark(name)
    solved = done.names()
    lessons = []
    for number, lesson in enumerate(LESSONS, 1):
        names = {name for kind in _names_of(lesson) for name in kind}
        if solved & names:
            lessons.append({"lesson": number, "done": len(solved & names), "there": len(names)})
    local_service.report(PROGRESS_PATH, {"lessons": lessons})


def _verdict(name: str, asked: Question, letter: Any) -> str:
    """Whether a choice is right, and why; a right one is remembered."""
    choices = asked.lettered()
    if not isinstance(letter, str) or letter not in choices:
        raise BadInput(
            _("This question has the choices {choices}: give the letter of one.", choices=", ".join(choices))
        )
    choice = choices[letter]
    if choice == asked.right:
        _keep(name)
        return _("Right! {reason}", reason=_(asked.choices[choice]))
    return _("No: {reason}", reason=_(asked.choices[choice]))


def _require_all(name: str, checker: Callable[..., str], answer: tuple[Any, ...]) -> None:
    """Refuses an answer of too few or too many parts, or whose last one is no model where one is wanted."""
    wanted = list(inspect.signature(checker).parameters)
    call = f"exercises.check({name!r}, {', '.join(wanted)})"
    if len(answer) != len(wanted):
        raise NotYet(_("an answer to this exercise is given as {call}.", call=call))
    if wanted[-1] in MODELS and not callable(getattr(answer[-1], "complete", None)):
        raise NotYet(_("the model comes last, as in {call}.", call=call))


def _said(error: Exception) -> str:
    """An exception's own words, in one line; those of a learner's own object may fail themselves."""
    try:
        words = " ".join(str(error).split())
    except Exception:  # noqa: BLE001
        words = ""
    return f": {words[:MAX_SAID]}" if words else ""


def _named(name: str, among: dict[str, Any], missing: str) -> Any:
    if not isinstance(name, str) or name not in among:
        raise BadInput(_(missing, name=name, names=", ".join(among)))
    return among[name]
