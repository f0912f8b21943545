"""The fine-tune form: an adapter, samples, the loss as it falls, answers before and after, and the code for it.

Called by notebooks through `helpers.forms`. `adapter_fields.py` and `sample_fields.py` hold its first two parts.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, ClassVar

import ipywidgets as widgets

from .. import plots
from ..errors import BadInput, GradientError, one_sentence
from ..language import _, later
from . import written_code
from .adapter_fields import AdapterFields
from .form import OWN_WIDTH, WIDE, CodeView, Form, escaped, heading, wrapped
from .number_field import number_field
from .sample_fields import SampleFields

if TYPE_CHECKING:
    from gradientai import Gradient, ModelAdapter, Sample
    from gradientai.pydantic_models.types import FineTuneResponse

TEMPLATE = "Question: {question}\n\nAnswer: "
ASK_TOKENS = 32
MAX_CALLS = 50
SMALLEST_LOSS = 1e-6  # a loss of 0 has no place on a logarithmic scale
BEFORE, AFTER = "before", "after"


def fine_tune_form(
    gradient: Gradient, question: str = "", answer: str = "", template: str = TEMPLATE, name: str = "from the form"
) -> FineTuneForm:
    """A form that fine-tunes an adapter. `.value` is the adapter, `.losses` its losses, `.code` the lines for it.

    Args:
        gradient: a client, as connect() returns it.
        question: the first sample's question.
        answer: the first sample's right answer.
        template: the text before an answer, with `{question}` where the question goes.
        name: the name that is offered for a new adapter.
    """
    return FineTuneForm(gradient, question, answer, template, name)


class FineTuneForm(Form):
    """Teaches an adapter questions and answers, in as many calls as wanted, and asks it before and after.

    Args:
        gradient, question, answer, template, name: as for `fine_tune_form`.
    """

    gradient: Gradient  # this form always has one

    seen: ClassVar[str] = later(
        "The form for fine-tunes: an adapter, a question with its right answer, the buttons "
        "Ask and Fine-tune, a table of what was said before and after, wrong and then right, "
        "and the loss of two calls as a falling curve."
    )

    def __init__(self, gradient: Gradient, question: str, answer: str, template: str, name: str) -> None:
        super().__init__(gradient)
        self.losses: list[float] = []
        self.answers: dict[tuple[str, str], str] = {}  # (question, BEFORE or AFTER): what the adapter said
        self._learned: str | None = None  # id of the adapter that the losses and answers are about
        self._stopping = threading.Event()
        self.adapter = AdapterFields(gradient, name, self._say)
        self.samples = SampleFields(question, answer, template)
        self.question = widgets.Text(value=question, description=_("Question to ask"), style=OWN_WIDTH, layout=WIDE)
        self.calls = number_field(_("fine_tune calls"), 1, (1, MAX_CALLS), self._say)
        self._make_outputs()
        self._make_buttons()
        watched = [*self.adapter.watched, *self.samples.watched, self.calls, self.question]
        self._code = CodeView(lambda: self.code, watched)
        self._lay_out()

    @property
    def value(self) -> ModelAdapter | None:
        """The chosen adapter, or None."""
        return self.adapter.value

    @property
    def code(self) -> str:
        """The lines that do what the form does.

        Raises:
            BadInput: the samples, the template or the new adapter's fields are not right.
        """
        self.samples.value  # noqa: B018 - refuses what is not right
        pairs = self.samples.pairs
        return written_code.fine_tune(
            self.gradient,
            self.value,
            ("", {}) if self.value is not None else self.adapter.new,
            self.samples.template.value,
            pairs,
            self.samples.answers_only,
            self.calls.value,
            self.question.value.strip() or pairs[0].question,
            ASK_TOKENS,
        )

    def close(self) -> None:
        """Ends the work after the call that runs, and takes the form off the page."""
        self._stopping.set()
        super().close()

    def _make_outputs(self) -> None:
        self._progress = widgets.IntProgress(layout=widgets.Layout(width="98%", height="14px"))
        self._table = widgets.HTML()
        self._plot = widgets.HTML()

    def _make_buttons(self) -> None:
        create, delete = self.adapter.create_button, self.adapter.delete_button
        self._ask = widgets.Button(description=_("Ask"))
        self._tune = widgets.Button(description=_("Fine-tune"), button_style="primary")
        self._stop = widgets.Button(description=_("Stop"), disabled=True, tooltip=_("Ends after the call that runs"))
        create.on_click(lambda button: self._start(_("Making the adapter…"), self.adapter.create))
        delete.on_click(lambda button: self._start(_("One moment…"), self.adapter.delete))
        self._ask.on_click(lambda button: self._start(_("Asking…"), self._ask_now))
        self._tune.on_click(lambda button: self._begin())
        self._stop.on_click(lambda button: self._ask_to_stop())
        self._buttons = [create, delete, self._ask, self._tune]

    def _lay_out(self) -> None:
        buttons = wrapped(self.calls, self._ask, self._tune, self._stop)
        asking = [self.question, buttons, self._status, self._progress, self._table, self._plot, self._code]
        titles = map(heading, (_("1 · An adapter"), _("2 · Samples"), _("3 · Ask, fine-tune, ask again")))
        first, second, third = titles
        self._show(first, self.adapter, second, self.samples, third, *asking)

    def _disable(self, disabled: bool) -> None:
        super()._disable(disabled)
        if not disabled:
            self._stop.disabled = True

    def _begin(self) -> None:
        """Starts the calls. What ended earlier ones is forgotten here, not by the work: it may begin after a close."""
        self._stopping.clear()
        self._start(_("Asking before…"), self._fine_tune)

    def _ask_to_stop(self) -> None:
        self._stopping.set()
        self._stop.disabled = True
        self._say(_("Stopping after the call that runs…"))

    def _ask_now(self) -> str:
        adapter = self._taken()
        self._ask_about(adapter, AFTER if self.losses else BEFORE)
        return ""

    def _fine_tune(self) -> str:
        adapter, samples, calls = self._taken(), self.samples.value, self.calls.value
        self._stop.disabled = False
        self._progress.value, self._progress.max = 0, calls
        if not self.losses:
            self._ask_about(adapter, BEFORE)
        for call in range(1, calls + 1):
            if self._stopping.is_set():
                break
            result = self._call(adapter, samples, _("fine_tune call {call} of {calls}", call=call, calls=calls))
            self._progress.value = call
            self._add_loss(result.sum_loss / result.number_of_trainable_tokens)
        done = self._progress.value
        self._ask_about(adapter, AFTER)
        if done == calls:
            return _("Done: {done} of {calls} fine_tune calls.", done=done, calls=calls)
        return _("Stopped: {done} of {calls} fine_tune calls.", done=done, calls=calls)

    def _call(self, adapter: ModelAdapter, samples: list[Sample], what: str) -> FineTuneResponse:
        """One fine_tune call; what goes wrong says in which one."""
        self._say(f"{what}…")
        try:
            with one_sentence(self._url()):
                return adapter.fine_tune(samples=samples)
        except GradientError as error:
            raise GradientError(f"{what}: {error}") from None

    def _taken(self) -> ModelAdapter:
        """The chosen adapter; another one than before starts with no losses and no answers."""
        adapter = self.adapter.chosen()
        if adapter.id != self._learned:
            self._learned = adapter.id
            self.losses, self.answers = [], {}
            self._plot.value = self._table.value = ""
        return adapter

    def _ask_about(self, adapter: ModelAdapter, when: str) -> None:
        """Asks the watched question, or that of the first sample."""
        pairs = self.samples.pairs
        question = self.question.value.strip() or (pairs[0].question if pairs else "")
        if not question:
            raise BadInput(_("There is nothing to ask: write a question."))
        prompt = self.samples.template.value.format(question=question)
        answer = adapter.complete(query=prompt, max_generated_token_count=ASK_TOKENS).generated_output
        self.answers[question, when] = answer.strip()
        self._table.value = _table(self.answers)

    def _add_loss(self, loss: float) -> None:
        self.losses.append(loss)
        self._plot.value = plots.loss_curve([max(loss, SMALLEST_LOSS) for loss in self.losses]).data


def _table(answers: dict[tuple[str, str], str]) -> str:
    questions = dict.fromkeys(question for question, when in answers)
    rows, empty = "", _("(empty)")
    for question in questions:
        said = [answers.get((question, when)) for when in (BEFORE, AFTER)]
        cells = "".join(f"<td>{escaped('' if answer is None else answer or empty)}</td>" for answer in said)
        rows += f'<tr><th scope="row">{escaped(question)}</th>{cells}</tr>'
    names = (_("question"), _("before"), _("after"))
    head = "<tr>" + "".join(f'<th scope="col">{name}</th>' for name in names) + "</tr>"
    return f"<table>{head}{rows}</table>"
