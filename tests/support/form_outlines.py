"""What a form is made of, in one number that its picture carries: another number, and the picture is out of date.

`tests/browser/pictures.py` writes it into each picture, `tests/forms/test_pictures.py` compares.
"""

from __future__ import annotations

import hashlib

import ipywidgets as widgets
from gradientai import Gradient

from helpers import forms
from helpers.forms.connect import HOSTED
from helpers.forms.form import STYLE, Form
from tests.stub.clicks import everything_in

KEY = "form"  # of the number, in the picture's own text
FIXED = ("description", "tooltip", "icon", "button_style", "min", "max", "step", "rows")
FIXED_CHOICES = (widgets.RadioButtons, widgets.ToggleButtons)  # a list of models differs from service to service


def pictured(gradient: Gradient) -> dict[str, Form]:
    """One of each form that has a picture, by its class's name."""
    connecting = forms.connect_form()
    connecting.where.value = HOSTED  # with all of its fields
    made = [
        connecting,
        forms.model_picker(gradient),
        forms.completion_form(gradient),
        forms.sampling_form(gradient.list_models(only_base=True)[0]),
        forms.fine_tune_form(gradient, "Who?", "Me!"),
    ]
    return {type(form).__name__: form for form in made}


def outline(form: Form) -> str:
    """A SHA-256 of the form's widgets, what is written on them, and the style; not of what was typed or answered."""
    lines = [STYLE]
    for widget in everything_in(form):
        written = [str(getattr(widget, name, "")) for name in FIXED]
        if isinstance(widget, FIXED_CHOICES):
            written.append(str(widget._options_labels))  # as they are shown
        if isinstance(widget, widgets.HTML) and widget.value.startswith("<h4>"):
            written.append(widget.value)
        lines.append(" ".join([type(widget).__name__, *written]))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
