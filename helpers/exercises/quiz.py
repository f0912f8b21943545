"""Questions with an explanation for each choice, by clicks or by plain code. `questions.py` has them.

In a notebook: `exercises.question("loss_up")` shows a small form; `exercises.question("loss_up", "b")` answers it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import BadInput
from . import done
from .questions import QUESTIONS, Question

if TYPE_CHECKING:
    from ..forms import QuestionForm


def question(name: str, choice: str | None = None) -> QuestionForm | None:
    """Asks a question, or says what an answer to it is worth.

    Args:
        name: which question.
        choice: the letter of a choice; None shows a form to click.

    Raises:
        BadInput: there is no such question, or no such choice.
    """
    asked = _question(name)
    if choice is not None:
        print(answered(name, choice))
        return None
    from ..forms import question_form

    return question_form(
        asked.text, dict(zip(asked.letters, asked.choices, strict=True)), lambda own: answered(name, own)
    )


def answered(name: str, choice: str) -> str:
    """What a choice is worth, and why; a right one is kept for `progress`.

    Raises:
        BadInput: there is no such question, or no such choice.
    """
    asked = _question(name)
    letter = choice.strip().lower() if isinstance(choice, str) else None
    if letter not in asked.letters:
        raise BadInput(f"There is no choice {choice!r:.60}; there are {', '.join(asked.letters)}.")
    why = asked.why[asked.letters.index(letter)]
    if letter != asked.right:
        return f"No: {why}"
    done.keep("questions", name)
    return f"Right: {why}"


def _question(name: str) -> Question:
    if not isinstance(name, str) or name not in QUESTIONS:
        raise BadInput(f"There is no question {name!r:.60}; there are {', '.join(QUESTIONS)}.")
    return QUESTIONS[name]
