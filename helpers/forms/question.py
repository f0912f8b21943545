"""The form of a question: its choices, and what is right or wrong with the one that is chosen.

Made by `helpers.exercises`, which knows the questions and keeps what was solved.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import ipywidgets as widgets

from ..language import _
from .form import WIDE, Form, escaped


class QuestionForm(Form):
    """A question with choices. `.value` is the letter that is chosen, or None.

    Args:
        asks: the question.
        choices: each choice, by its letter.
        judge: takes a letter; says whether it is right and why.
        name: by which plain code asks the same.
    """

    def __init__(self, asks: str, choices: Mapping[str, str], judge: Callable[[str], str], name: str) -> None:
        super().__init__()
        self._text = "\n".join([asks, *(f"  {letter}  {choice}" for letter, choice in choices.items())])
        self._name = name
        options = [(f"{letter}  {choice}", letter) for letter, choice in choices.items()]
        self.choice = widgets.RadioButtons(options=options, value=None, layout={**WIDE, "height": "auto"})
        self.choice.observe(lambda change: self._say(judge(change["new"])), "value")
        self._show(widgets.HTML(f"<p><strong>{escaped(asks)}</strong></p>"), self.choice, self._status)

    def __repr__(self) -> str:
        call = f'exercises.question("{self._name}", "a")'
        return f"{self._text}\n" + _("Run this cell to click, or say it in code: {call}", call=call)

    @property
    def value(self) -> str | None:
        """The letter that was clicked last, or None."""
        return self.choice.value
