"""The part of the fine-tune form that holds the samples: rows to type in, or a file, and how they are learned.

Called by `tune.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ipywidgets as widgets

from ..errors import BadInput
from ..language import _, later
from . import samples
from .form import OWN_WIDTH, WIDE, as_alert, escaped, wrapped
from .samples import Pair

if TYPE_CHECKING:
    from gradientai import Sample

TYPED, UPLOADED = later("typed"), later("from a file")
ALL_TOKENS, ANSWERS_ONLY = later("all tokens"), later("answers only")
MAX_ROWS = 30  # a file holds more
PREVIEWED = 5


class SampleFields(widgets.VBox):
    """Questions and answers, from rows or from an uploaded file, the template around them, and what has a loss.

    Args:
        question, answer: the first row.
        template: text with `{question}` in it, before the answer.
    """

    def __init__(self, question: str, answer: str, template: str) -> None:
        self._uploaded: list[Pair] = []
        self._rows: list[tuple[widgets.Text, widgets.Text]] = []
        self.source = _radio(_("Samples"), [TYPED, UPLOADED])
        self.template = widgets.Textarea(value=template, description=_("Template"), rows=3, layout=WIDE)
        self.train_on = _radio(_("Train on"), [ALL_TOKENS, ANSWERS_ONLY])
        self._row_box = widgets.VBox()
        self._more = widgets.Button(description=_("Add a row"))
        self.upload = widgets.FileUpload(accept=".jsonl,.csv", description=_("Choose a JSONL or CSV file"))
        self.upload.layout.width = "260px"
        self._preview = widgets.HTML()
        self.changed = widgets.IntText()  # never shown: counts changes of rows and files, for those who watch
        self.watched = [self.changed, self.source, self.template, self.train_on]
        self._more.on_click(lambda button: self._add_row())
        self.upload.observe(lambda change: self._read(change["new"]), "value")
        self.source.observe(lambda change: self._show_source(), "value")
        super().__init__()
        self._add_row(question, answer)
        self._show_source()

    @property
    def pairs(self) -> list[Pair]:
        """The questions and answers to learn; empty rows are left out.

        Raises:
            BadInput: a row is half filled in.
        """
        if self.source.value == UPLOADED:
            return list(self._uploaded)
        typed = [(question.value.strip(), answer.value.strip()) for question, answer in self._rows]
        for number, (question, answer) in enumerate(typed, 1):
            if bool(question) != bool(answer):
                raise BadInput(_half_filled(number, bool(question)))
        return [Pair(question, answer) for question, answer in typed if question]

    @property
    def answers_only(self) -> bool:
        """Whether the questions are context, without a loss."""
        return self.train_on.value == ANSWERS_ONLY

    @property
    def value(self) -> list[Sample]:
        """The samples of a fine_tune call.

        Raises:
            BadInput: there are none, a row is half filled in, or the template is not right.
        """
        return samples.to_samples(self.template.value, self.pairs, self.answers_only)

    def _add_row(self, question: str = "", answer: str = "") -> None:
        if len(self._rows) >= MAX_ROWS:
            return
        number = len(self._rows) + 1
        named = ((_("Question {number}", number=number), question), (_("Answer {number}", number=number), answer))
        fields = tuple(widgets.Text(value=value, description=name) for name, value in named)
        for field, width in zip(fields, ("58%", "38%"), strict=True):
            field.style.description_width, field.layout.width = "initial", width
            field.observe(lambda change: self._changed(), "value")
        self._rows.append(fields)
        self._row_box.children = [*self._row_box.children, widgets.HBox(fields)]
        self._more.disabled = len(self._rows) >= MAX_ROWS

    def _show_source(self) -> None:
        uploads = self.source.value == UPLOADED
        chosen = [wrapped(self.upload), self._preview] if uploads else [self._row_box, self._more]
        self.children = [self.source, *chosen, self.template, self.train_on]

    def _read(self, files: tuple[dict[str, Any], ...]) -> None:
        if not files:
            return
        try:
            name, content = files[0]["name"], bytes(files[0]["content"])
            self._uploaded = samples.read_file(name, content)
            self._preview.value = _table(name, self._uploaded, samples.reading_note(name, content))
        except ValueError as error:
            self._uploaded = []
            self._preview.value = as_alert(str(error))
        self.upload.value = ()  # so that the same file, mended, can be chosen again
        self._changed()

    def _changed(self) -> None:
        self.changed.value += 1


def _half_filled(number: int, has_question: bool) -> str:
    if has_question:
        return _("Row {number} has no answer: fill it in or empty it.", number=number)
    return _("Row {number} has no question: fill it in or empty it.", number=number)


def _radio(description: str, options: list[str]) -> widgets.RadioButtons:
    shown = [(_(option), option) for option in options]
    return widgets.RadioButtons(options=shown, description=description, orientation="horizontal", style=OWN_WIDTH)


def _table(name: str, pairs: list[Pair], note: str) -> str:
    rows = "".join(f"<tr><td>{escaped(p.question)}</td><td>{escaped(p.answer)}</td></tr>" for p in pairs[:PREVIEWED])
    caption = _("{count} samples in {name}", count=len(pairs), name=name)
    if len(pairs) > PREVIEWED:
        caption = _(
            "{count} samples in {name}, the first {shown} of them", count=len(pairs), name=name, shown=PREVIEWED
        )
    caption += f". {note}" if note else ""
    head = "<tr>" + "".join(f"<th>{name}</th>" for name in (_("question"), _("answer"))) + "</tr>"
    return f'<p role="status">{escaped(caption)}</p><table>{head}{rows}</table>'
