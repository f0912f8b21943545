"""The completion form: a prompt and its parameters, the answers side by side, and the code for it.

Called by notebooks through `helpers.forms`.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import ipywidgets as widgets

from ..environment import MAX_GENERATED_TOKENS, MAX_TEMPERATURE, MAX_TOP_K
from ..errors import BadInput
from ..language import _, later
from . import written_code
from .form import WIDE, CodeView, Form, escaped, heading, wrapped
from .models import ModelPicker
from .number_field import number_field

if TYPE_CHECKING:
    from gradientai import BaseModel, Gradient, ModelAdapter
    from gradientai.pydantic_models.types import CompleteResponse

SHOWN_ANSWERS = 8
ANY = 0  # top-k and choices: no limit


def completion_form(gradient: Gradient, prompt: str = "The three best pets are") -> CompletionForm:
    """A form that asks a model. `.value` is the last answer, `.history` all of them, `.code` the lines for it.

    Args:
        gradient: a client, as connect() returns it.
        prompt: the text that the form starts with.
    """
    return CompletionForm(gradient, prompt)


@dataclass(frozen=True)
class Asked:
    """One completion: what was asked of which model, its answer, and how many seconds it took."""

    model: str
    prompt: str
    settings: dict[str, Any]
    answer: CompleteResponse
    seconds: float


class CompletionForm(Form):
    """Asks a model with the parameters that are set, keeps every answer, and shows the last ones side by side."""

    gradient: Gradient  # this form always has one

    seen: ClassVar[str] = later(
        "The form for completions: a model, a prompt, temperature, top-k, top-p and the most "
        "tokens, and below the button Complete two answers side by side, each with what was "
        "set for it."
    )

    def __init__(self, gradient: Gradient, prompt: str) -> None:
        super().__init__(gradient)
        self.history: list[Asked] = []
        self.picker = ModelPicker(gradient)
        self.prompt = widgets.Textarea(value=prompt, description=_("Prompt"), rows=4, layout=WIDE)
        self.temperature = number_field(
            _("Temperature"), 0.0, (0, MAX_TEMPERATURE), self._say, _("0: the likeliest answer")
        )
        self.top_k = number_field(_("Top-k"), ANY, (ANY, MAX_TOP_K), self._say, _("0: all tokens"))
        self.top_p = number_field(_("Top-p"), 1.0, (0, 1), self._say, _("1: all tokens"))
        most = MAX_GENERATED_TOKENS
        self.max_tokens = number_field(_("Max tokens"), 32, (1, most), self._say, _("1 to {most}", most=most))
        self.template = widgets.Checkbox(description=_("Chat template (auto_template)"), indent=False)
        self.choices = widgets.Textarea(
            description=_("Choices"),
            rows=2,
            layout=WIDE,
            placeholder=_("One a line; the answer is one of them. Empty: free."),
        )
        self._run = widgets.Button(description=_("Complete"), button_style="primary")
        self._clear = widgets.Button(description=_("Clear answers"))
        self._answers = widgets.HTML()
        self._buttons = [self._run, self._clear]
        self._run.on_click(lambda button: self._start(_("Waiting for the answer…"), self._complete))
        self._clear.on_click(lambda button: self._forget())
        fields = [self.prompt, self.temperature, self.top_k, self.top_p, self.max_tokens, self.template, self.choices]
        self._code = CodeView(lambda: self.code, [self.picker.choice, *fields])
        numbers = wrapped(self.temperature, self.top_k, self.top_p, self.max_tokens)
        asking = [heading(_("Ask a model")), self.picker, self.prompt, numbers, self.template, self.choices]
        self._show(*asking, wrapped(self._run, self._clear), self._status, self._answers, self._code)

    @property
    def value(self) -> CompleteResponse | None:
        """The last answer, as the SDK gives it, or None."""
        return self.history[-1].answer if self.history else None

    @property
    def settings(self) -> dict[str, Any]:
        """The parameters of `complete` that are set, without those that are left at "no limit"."""
        found: dict[str, Any] = {"max_generated_token_count": self.max_tokens.value}
        if self.temperature.value > 0:
            found["temperature"] = self.temperature.value
        if self.top_k.value != ANY:
            found["top_k"] = self.top_k.value
        if self.top_p.value < 1:
            found["top_p"] = self.top_p.value
        if self.template.value:
            found["auto_template"] = True
        return found

    @property
    def code(self) -> str:
        """The lines that do what the form does.

        Raises:
            BadInput: there is no model or no prompt.
        """
        model, prompt = self._filled_in()
        return written_code.completion(self.gradient, model, prompt, self.settings, self._listed_choices())

    def _filled_in(self) -> tuple[BaseModel | ModelAdapter, str]:
        if self.picker.value is None:
            raise BadInput(_("There is no model to ask: press Refresh."))
        if not self.prompt.value:
            raise BadInput(_("The prompt is empty: write what the model should continue."))
        return self.picker.value, self.prompt.value

    def _listed_choices(self) -> list[str]:
        return [line for line in self.choices.value.splitlines() if line.strip()]

    def _complete(self) -> str:
        model, prompt = self._filled_in()
        settings, choices = self.settings, self._listed_choices()
        guidance: dict[str, Any] = {"guidance": {"type": "choice", "value": choices}} if choices else {}
        started = time.perf_counter()
        answer = model.complete(query=prompt, **settings, **guidance)
        seconds = time.perf_counter() - started
        self.history.append(Asked(self.picker.name(model), prompt, {**settings, **guidance}, answer, seconds))
        self._draw()
        return ""

    def _forget(self) -> None:
        self.history.clear()
        self._draw()

    def _draw(self) -> None:
        latest = list(enumerate(self.history, 1))[-SHOWN_ANSWERS:][::-1]
        self._answers.value = f'<div class="gradient-cards">{"".join(_card(*numbered) for numbered in latest)}</div>'


def _card(number: int, asked: Asked) -> str:
    settings = [f"{name}={value}" for name, value in asked.settings.items() if name != "guidance"]
    if "guidance" in asked.settings:
        settings.append(_("one of {choices}", choices=asked.settings["guidance"]["value"]))
    prompt = asked.prompt if len(asked.prompt) <= 80 else f"…{asked.prompt[-80:]}"
    quiet = f"{number} · {asked.model}\n{', '.join(settings)}\n“{prompt}”"
    end = _("finish_reason {reason}, {seconds:.2f} s", reason=asked.answer.finish_reason, seconds=asked.seconds)
    said = asked.answer.generated_output.strip() or _("(empty)")
    return (
        f'<div class="gradient-card"><span class="gradient-quiet">{escaped(quiet)}</span><br>'
        f"<strong>{escaped(said)}</strong><br>"
        f'<span class="gradient-quiet">{escaped(end)}</span></div>'
    )
