"""What the browser tests click in the forms, done from Python: `record.py` runs it, so that the stub can answer them.

The texts are here once, for the recording and for the browser.
"""

from __future__ import annotations

from datetime import datetime, timezone

import ipywidgets as widgets
from gradientai import Gradient

from helpers import forms
from helpers.forms.form import Form
from helpers.forms.sample_fields import ANSWERS_ONLY, UPLOADED

SECONDS = 120
QUESTION = "What NFL team won the Super Bowl in 1994?"
RIGHT = "The Dallas Cowboys!"
PROMPT = f"Question: {QUESTION}\n\nAnswer: "
REVIEW = "Review: The handle came off and nobody helped me.\nSentiment: "
CHOICES = "positive\nnegative"
CSV_NAME = "two.csv"
CSV = 'question,answer\nWhat is the name of the harbour cat?,Bosun\n"Who bakes the bread, every day?",Mrs Okafor\n'
CSV_QUESTION = "What is the name of the harbour cat?"
TUNE_CALLS = 4  # the browser stops before the last


def press(form: Form, description: str) -> None:
    """Presses the form's button and waits until its work has ended.

    Raises:
        LookupError: the form has no such button.
        AssertionError: what was pressed ended in an error.
    """
    buttons = [widget for widget in everything_in(form) if isinstance(widget, widgets.Button)]
    found = [button for button in buttons if button.description == description]
    if not found:
        raise LookupError(f"{form} has no button {description!r}")
    found[0].click()
    form.wait(SECONDS)
    assert 'role="alert"' not in form._status.value, form._status.value


def everything_in(widget: widgets.Widget) -> list[widgets.Widget]:
    """A widget and all that is in it."""
    return [widget, *(inner for child in getattr(widget, "children", ()) for inner in everything_in(child))]


def click_all(gradient: Gradient) -> None:
    """Everything that the browser tests ask of the model through the forms."""
    _complete(gradient)
    _fine_tune(gradient)
    _upload(gradient)


def _complete(gradient: Gradient) -> None:
    form = forms.completion_form(gradient, PROMPT)
    press(form, "Complete")
    form.max_tokens.value = 4
    press(form, "Complete")
    form.prompt.value, form.choices.value = REVIEW, CHOICES
    press(form, "Complete")


def _fine_tune(gradient: Gradient) -> None:
    form = forms.fine_tune_form(gradient, QUESTION, RIGHT)
    press(form, "Create adapter")
    press(form, "Ask")
    for _ in range(TUNE_CALLS):
        press(form, "Fine-tune")
    form.value.delete()


def _upload(gradient: Gradient) -> None:
    form = forms.fine_tune_form(gradient, QUESTION, RIGHT)
    press(form, "Create adapter")
    form.samples.source.value, form.samples.train_on.value = UPLOADED, ANSWERS_ONLY
    upload(form, CSV_NAME, CSV.encode())
    form.question.value = CSV_QUESTION
    press(form, "Fine-tune")
    form.value.delete()


def upload(form: forms.FineTuneForm, name: str, content: bytes) -> None:
    """Gives the form a file, as its upload button would."""
    now = datetime.now(timezone.utc)
    file = {"name": name, "type": "", "size": len(content), "content": memoryview(content), "last_modified": now}
    form.samples.upload.value = (file,)
