"""The project of lesson 5: an assistant of the learner's own, from data to score. Called by `attempt`.

The checker reads the data set, asks both models the held-out part and the assistant what is unrelated, and compares
what it counts with what the learner reports: a project is done when its author knows how good it is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ..language import _
from ..progress_bars import progress
from .classifying import plain
from .exercise import Exercise, Question
from .fine_tuning import question_prompt, says
from .not_yet import NotYet

MIN_LEARNED, MIN_HELD_OUT, MAX_HELD_OUT = 12, 6, 60
MAX_TOKENS = 24  # of an answer
HOLE = "{prompt}"
FIELDS = {"prompt": str, "answer": str, "held_out": bool}
UNRELATED = (
    ("What is the capital of France?", "Paris"),
    ("What is the capital of Japan?", "Tokyo"),
    ("What is 2 + 2?", "4"),
    ("What colour is the sky?", "blue"),
    ("How many days are in a week?", "7"),
    ("Which planet do we live on?", "Earth"),
    ("What do bees make?", "honey"),
    ("Which animal says meow?", "cat"),
    ("What is the boiling point of water?", "100"),
    ("How many months are in a year?", "12"),
)
"""Questions that the base model answers right and that a project says nothing about, to see what it forgot."""


class Example(NamedTuple):
    """A line of a data set."""

    prompt: str
    answer: str
    held_out: bool


class Report(NamedTuple):
    """How many held-out examples the base model and the adapter answer right, and how many of UNRELATED the adapter."""

    before: int
    after: int
    kept: int


def project(data: Any, template: str, report: Mapping[str, int], adapter: Any, base: Any) -> str:
    """Whether an assistant is better than the base model, keeps the rest, and is measured right.

    Args:
        data: path of a JSONL file, or a list of dicts, with FIELDS.
        template: what stands around a prompt, with HOLE in its place.
        report: the learner's own counts, named as in `Report`.
        adapter: the assistant.
        base: what it was made from.

    Raises:
        NotYet: the data set is too small, or leaks; a count differs from the checker's; or the assistant is no better,
            or has forgotten too much.
    """
    examples, reported = read(data), _reported(report)
    if not isinstance(template, str) or template.count(HOLE) != 1:
        raise NotYet(_("the template is a text with {hole} in it, once.", hole=HOLE))
    if not callable(getattr(adapter, "fine_tune", None)) or getattr(adapter, "id", 0) == getattr(base, "id", 0):
        raise NotYet(_("the assistant is the adapter that you have fine-tuned."))
    held_out = [example for example in examples if example.held_out]
    found = Report(score(base, held_out, template), score(adapter, held_out, template), kept(adapter))
    for name, own, counted in zip(Report._fields, reported, found, strict=True):
        if own != counted:
            raise NotYet(_("you report {name!r} as {own}, and I count {counted}.", name=name, own=own, counted=counted))
    if found.after <= found.before or 2 * found.after < len(held_out):
        raise NotYet(
            _(
                "{before} of {count} are right before and {after} after: that is not enough.",
                before=found.before,
                count=len(held_out),
                after=found.after,
            )
        )
    if 2 * found.kept < len(UNRELATED):
        raise NotYet(
            _(
                "only {kept} of {count} unrelated answers are kept: it has forgotten too much.",
                kept=found.kept,
                count=len(UNRELATED),
            )
        )
    return _(
        "From {before} to {after} of {count}, and {kept} of {unrelated} kept.",
        before=found.before,
        after=found.after,
        count=len(held_out),
        kept=found.kept,
        unrelated=len(UNRELATED),
    )


def read(data: Any) -> list[Example]:
    """A data set, checked.

    Raises:
        NotYet: it is none, it is too small, or what is held out is learned as well.
    """
    examples = [_example(number, line) for number, line in enumerate(_lines(data), 1)]
    learned = {plain(example.prompt) for example in examples if not example.held_out}
    held_out = [example for example in examples if example.held_out]
    if len(learned) < MIN_LEARNED or not MIN_HELD_OUT <= len(held_out) <= MAX_HELD_OUT:
        raise NotYet(
            _(
                "it has {learned} prompts to learn and {held_out} held out; at least {least_learned} "
                "and {least_held_out} are wanted, and at most {most_held_out} held out.",
                learned=len(learned),
                held_out=len(held_out),
                least_learned=MIN_LEARNED,
                least_held_out=MIN_HELD_OUT,
                most_held_out=MAX_HELD_OUT,
            )
        )
    leaked = [example.prompt for example in held_out if plain(example.prompt) in learned]
    if leaked:
        raise NotYet(_("{leaked!r} is held out and learned as well: then it shows nothing.", leaked=leaked[0][:60]))
    if len({plain(example.answer) for example in held_out}) < 2:
        raise NotYet(_("all held-out answers are the same: a model that always says it would pass."))
    return examples


def score(model: Any, examples: Sequence[Example], template: str) -> int:
    """How many examples a model answers right: the first line is the answer, whatever its case and final full stop.

    Args:
        model: a base model or an adapter.
        examples: prompts and answers.
        template: a text with HOLE in it, where the prompt goes.
    """
    return sum(
        plain(_first_line(model, template.replace(HOLE, example.prompt))) == plain(example.answer)
        for example in progress(examples, _("asking"))
    )


def kept(model: Any) -> int:
    """How many of UNRELATED a model answers right."""
    return sum(
        says(_first_line(model, question_prompt(question)), answer)
        for question, answer in progress(UNRELATED, _("asking"))
    )


def _first_line(model: Any, prompt: str) -> str:
    output = model.complete(query=prompt, max_generated_token_count=MAX_TOKENS).generated_output
    return (output.strip().splitlines() or [""])[0]


def _lines(data: Any) -> Sequence[Any]:
    """The data set's lines as they were given."""
    if isinstance(data, (str, Path)):
        try:
            text = Path(data).read_text(encoding="utf-8")
            return [json.loads(line) for line in text.splitlines() if line.strip()]
        except (OSError, ValueError) as error:
            raise NotYet(_("the file can't be read as JSONL ({error}).", error=type(error).__name__)) from error
    if not isinstance(data, (list, tuple)):
        raise NotYet(_("the data set is a list of dicts, or the path of a JSONL file."))
    return data


def _example(number: int, line: Any) -> Example:
    if not isinstance(line, Mapping) or not all(isinstance(line.get(name), kind) for name, kind in FIELDS.items()):
        raise NotYet(
            _("line {number} is not {{'prompt': text, 'answer': text, 'held_out': True or False}}.", number=number)
        )
    example = Example(*(line[name] for name in FIELDS))
    if not plain(example.prompt) or not plain(example.answer):
        raise NotYet(_("line {number} has an empty prompt or answer.", number=number))
    return example


def _reported(report: Any) -> Report:
    if not isinstance(report, Mapping) or not all(type(report.get(name)) is int for name in Report._fields):
        raise NotYet(_("the report is {'before': …, 'after': …, 'kept': …}, with your own counts."))
    return Report(*(report[name] for name in Report._fields))


EXERCISES = {
    "project": Exercise(
        project,
        "Begin with twenty lines of one kind, each prompt as short as its answer, and hold every third "
        "one out. If too little is kept, mix everyday questions with the base model's own answers into "
        "what you teach.",
    ),
}

QUESTIONS = {
    "all_right": Question(
        "All twelve tickets are right after a fine-tune. What is missing?",
        {
            "More fine-tuning, to be sure.": "what is learned gets no better, and more of the rest goes.",
            "A look at what was forgotten.": "twelve of twelve came with one unrelated answer of ten.",
            "Nothing.": "not for those who will ask it something else one day.",
        },
        "A look at what was forgotten.",
    ),
}
