"""The form of a question: its choices, and what is right or wrong with the one that is chosen.

Made by `helpers.exercises`, which knows the questions and keeps what was solved.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import ipywidgets as widgets

from ..language import _
from .form import WIDE, Form, with_code


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
        self._how = _("Run this cell to click, or say it in code: {call}", call=f'`exercises.question("{name}", "a")`')
        self._asks = f"<p><strong>{with_code(asks)}</strong></p>"
        self._choices = "<br>".join(f"{letter}&ensp;{with_code(choice)}" for letter, choice in choices.items())
        # a radio button's label is text and nothing else, so there the backticks go
        options = [(f"{letter}  {choice.replace('`', '')}", letter) for letter, choice in choices.items()]
        self.choice = widgets.RadioButtons(options=options, value=None, layout={**WIDE, "height": "auto"})
        self.choice.observe(lambda change: self._say(judge(change["new"])), "value")
        self._show(widgets.HTML(self._asks), self.choice, self._status)

    def __repr__(self) -> str:
        return f"{self._text}\n{self._how.replace('`', '')}"

    def _still(self) -> str:
        """The question as text: it needs no picture."""
        return f"{self._asks}<p>{self._choices}</p><p>{with_code(self._how)}</p>"

    @property
    def value(self) -> str | None:
        """The letter that was clicked last, or None."""
        return self.choice.value
