"""Forms for those who would rather click first: each shows and does what a few lines of plain code do, and gives them.

    connect_form()             which endpoint, whose credentials
    model_picker(gradient)     base models and adapters
    completion_form(gradient)  a prompt, its parameters, the answers side by side
    fine_tune_form(gradient)   an adapter, samples, the loss, the answers before and after

Called by notebooks as `from helpers import forms`. A form is an ipywidgets box with a `.value` for the code that
follows it; what it has to say appears inside it, so that a cell's output stays the same. `form.py` holds what the forms
share, `samples.py` reads samples, `written_code.py` writes the lines that a form stands for.
"""

from __future__ import annotations

from .complete import CompletionForm, completion_form
from .connect import ConnectForm, connect_form
from .models import ModelPicker, model_picker
from .question import QuestionForm, question_form
from .tune import FineTuneForm, fine_tune_form

__all__ = [
    "CompletionForm",
    "ConnectForm",
    "FineTuneForm",
    "ModelPicker",
    "QuestionForm",
    "completion_form",
    "connect_form",
    "fine_tune_form",
    "model_picker",
    "question_form",
]
