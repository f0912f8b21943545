"""A question as a form: its choices, and why the one that was clicked is right or not. Made by `exercises.question`."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import ipywidgets as widgets

from .form import Form, as_alert, escaped


class QuestionForm(Form):
    """Choices to click; each says at once what it is worth. `.value` is the letter that was clicked last, or None.

    Args:
        text: what is asked.
        choices: the words of each choice, by its letter.
        explain: gives what a letter is worth, beginning with "Right" or "No".
    """

    def __init__(self, text: str, choices: Mapping[str, str], explain: Callable[[str], str]) -> None:
        super().__init__()
        self._explain = explain
        self.choice = widgets.RadioButtons(
            options=[(f"{letter}  {words}", letter) for letter, words in choices.items()],
            index=None,
            layout=widgets.Layout(width="98%"),
        )
        self.choice.observe(lambda change: self._say_what_it_is_worth(change["new"]), "value")
        self._show(widgets.HTML(f"<p><b>{escaped(text)}</b></p>"), self.choice, self._status)

    @property
    def value(self) -> str | None:
        return self.choice.value

    def _say_what_it_is_worth(self, letter: str | None) -> None:
        if letter is not None:
            said = self._explain(letter)
            self._status.value = f'<p role="status">{escaped(said)}</p>' if said.startswith("Right") else as_alert(said)


def question_form(text: str, choices: Mapping[str, str], explain: Callable[[str], str]) -> QuestionForm:
    """A question to click at; for the arguments see `QuestionForm`."""
    return QuestionForm(text, choices, explain)
