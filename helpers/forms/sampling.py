"""The form that shows what may come next, and what temperature, top-k and top-p make of it.

Called by notebooks through `helpers.forms`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import ipywidgets as widgets

from .. import token_views
from ..environment import MAX_TEMPERATURE
from ..errors import BadInput
from ..language import _, later
from .form import OWN_WIDTH, WIDE, CodeView, Form, heading, wrapped

if TYPE_CHECKING:
    from gradientai import ModelAdapter

MOST_TOP_K = 50
SLIDER = {"width": "320px"}


def sampling_form(model: ModelAdapter, prompt: str = "The three best pets are") -> SamplingForm:
    """A form that shows the likeliest next tokens. `.value` is what `next_tokens` gives, once it was pressed.

    Args:
        model: a base model or an adapter of the local service.
        prompt: the text that the form starts with.
    """
    return SamplingForm(model, prompt)


class SamplingForm(Form):
    """Asks for the next tokens when its button is pressed, and draws them anew whenever a slider moves."""

    seen: ClassVar[str] = later(
        "The form for what may come next: a prompt, sliders for temperature, top-k and "
        "top-p, and a bar chart of the ten likeliest tokens, as the model has them and as "
        "these settings draw them."
    )

    def __init__(self, model: ModelAdapter, prompt: str) -> None:
        super().__init__()
        self._model = model
        self._found: token_views.NextTokens | None = None
        self.prompt = widgets.Text(value=prompt, description=_("Prompt"), layout=WIDE)
        self.temperature = _slider(widgets.FloatSlider, _("Temperature"), 1.0, 0.0, MAX_TEMPERATURE, 0.1)
        self.top_k = _slider(widgets.IntSlider, _("Top-k"), MOST_TOP_K, 1, MOST_TOP_K, 1)
        self.top_p = _slider(widgets.FloatSlider, _("Top-p"), 1.0, 0.05, 1.0, 0.05)
        self._run = widgets.Button(description=_("What comes next?"), button_style="primary")
        self._chart = widgets.HTML()
        self._buttons = [self._run]
        self._run.on_click(lambda button: self._start(_("Asking…"), self._ask))
        sliders = [self.temperature, self.top_k, self.top_p]
        for slider in sliders:
            slider.observe(lambda change: self._draw(), "value")
        code = CodeView(lambda: self.code, [self.prompt, *sliders])
        title = heading(_("What may come next"))
        self._show(title, self.prompt, wrapped(*sliders), self._run, self._status, self._chart, code)

    @property
    def value(self) -> token_views.NextTokens | None:
        """What the model thinks comes next, or None before the button was pressed."""
        return self._found

    @property
    def code(self) -> str:
        """The line that does what the form does."""
        settings = f"temperature={self.temperature.value:g}, top_k={self.top_k.value}, top_p={self.top_p.value:g}"
        return f"next_tokens(base, {self.prompt.value!r}).plot({settings})"

    def _ask(self) -> str:
        if not self.prompt.value:
            raise BadInput(_("The prompt is empty: write what the model should continue."))
        self._found = token_views.next_tokens(self._model, self.prompt.value)
        self._draw()
        return ""

    def _draw(self) -> None:
        if self._found is not None:
            settings = {"temperature": self.temperature.value, "top_k": self.top_k.value, "top_p": self.top_p.value}
            self._chart.value = self._found.plot(**settings).data


def _slider(kind: type, description: str, value: float, least: float, most: float, step: float) -> widgets.Widget:
    return kind(value=value, min=least, max=most, step=step, description=description, style=OWN_WIDTH, layout=SLIDER)
