"""Questions and answers to learn: read from a JSONL or CSV file, checked, and made into samples of the API.

Called by the fine-tune form; it knows nothing of widgets.
"""

from __future__ import annotations

import json
import math
import string
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, NoReturn

from ..errors import BadInput
from ..language import _
from . import spreadsheets

if TYPE_CHECKING:
    from gradientai import Sample

MAX_FILE_BYTES = 1_000_000
MAX_NAMED_LINES = 5
COLUMNS = ("question", "answer")
EXAMPLE = '{"question": "…", "answer": "…"}'


@dataclass(frozen=True)
class Pair:
    """A question and its right answer."""

    question: str
    answer: str


def read_file(name: str, content: bytes) -> list[Pair]:
    """Reads questions and answers.

    Args:
        name: the file's name; its ending says what it is.
        content: JSONL, one object with "question" and "answer" a line, or CSV with these two columns, as spreadsheets
            write it.

    Returns:
        The pairs, in the file's order; other fields are left out.

    Raises:
        BadInput: says which lines are wrong, and how.
    """
    if len(content) > MAX_FILE_BYTES:
        raise BadInput(
            _("{name} is larger than {most} MB: take fewer samples.", name=name, most=MAX_FILE_BYTES // 1_000_000)
        )
    readers = {".jsonl": _jsonl, ".csv": _csv}
    if PurePath(name).suffix.lower() not in readers:
        raise BadInput(_("{name} is neither .jsonl nor .csv: save the samples as one of these.", name=name))
    pairs, wrong = [], []
    for line, found in readers[PurePath(name).suffix.lower()](_decoded(name, content)):
        if isinstance(found, Pair):
            pairs.append(found)
        else:
            wrong.append(_("line {line}: {found}", line=line, found=found))
    if wrong:
        if len(wrong) > MAX_NAMED_LINES:
            wrong[MAX_NAMED_LINES:] = [_("and {count} lines more", count=len(wrong) - MAX_NAMED_LINES)]
        raise BadInput(f"{name}, {'; '.join(wrong)}.")
    if not pairs:
        raise BadInput(_("{name} has no samples: each needs a question and an answer.", name=name))
    return pairs


def reading_note(name: str, content: bytes) -> str:
    """What to say of a file that was read in an encoding which can't be known for sure; else nothing.

    Args:
        name: of the file.
        content: its bytes.
    """
    if _encoding(name, content) in (spreadsheets.UTF8, spreadsheets.UTF16):
        return ""
    return _("It is not in UTF-8, so look whether its letters are right; if not, save it as UTF-8.")


def check_template(template: str) -> None:
    """Refuses a template in which a question can't be put.

    Raises:
        BadInput: says what is wrong with it.
    """
    try:
        fields = [field for text, field, spec, kind in string.Formatter().parse(template) if field is not None]
    except ValueError as error:
        raise BadInput(
            _("The template is not right: {error}; write a brace that is meant as text twice.", error=error)
        ) from None
    if fields != ["question"]:
        raise BadInput(_("The template needs {question} in it, once, and no other braces: the question goes there."))


def to_samples(template: str, pairs: list[Pair], answers_only: bool) -> list[Sample]:
    """The samples of a fine_tune call.

    Args:
        template: text with a `{question}` in it, before the answer.
        pairs: questions and answers.
        answers_only: whether the question is context, without a loss.

    Raises:
        BadInput: the template is wrong, or there are no pairs.
    """
    check_template(template)
    if not pairs:
        raise BadInput(_("There is no sample yet: write a question and its answer, or upload a file."))
    asked = [template.format(question=pair.question) for pair in pairs]
    if answers_only:
        return [
            {"inputs": [{"value": ask, "trainable": False}, {"value": pair.answer}]}
            for ask, pair in zip(asked, pairs, strict=True)
        ]
    return [{"inputs": ask + pair.answer} for ask, pair in zip(asked, pairs, strict=True)]


def _encoding(name: str, content: bytes) -> str:
    """A CSV file comes from a spreadsheet; a JSONL file from a program, which says so if it writes no UTF-8."""
    found = spreadsheets.encoding_of(content)
    is_csv = PurePath(name).suffix.lower() == ".csv"
    return found if is_csv or found == spreadsheets.UTF16 else spreadsheets.UTF8


def _decoded(name: str, content: bytes) -> str:
    try:
        return content.decode(_encoding(name, content))
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise BadInput(
            _("{name}, line {line}: this is not UTF-8; save the file as UTF-8.", name=name, line=line)
        ) from None


def _jsonl(text: str) -> Iterator[tuple[int, Pair | str]]:
    """Line number, and the pair on it or what is wrong with it."""
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            yield number, _pair(_strict_json(line))
        except _NoNumber as value:
            yield (
                number,
                _("has {given}, which is no number of JSON; write it between double quotes", given=str(value)[:20]),
            )
        except (ValueError, RecursionError):
            yield number, _("is no JSON; a line looks like {example}", example=EXAMPLE)


class _NoNumber(ValueError):
    """Raised for what Python's parser takes for a number and JSON, or a computer, has not."""


def _strict_json(text: str) -> Any:
    """JSON without the words that Python adds to it. Numbers stay as they are written: 1.50 is an answer of its own."""

    def refuse(word: str) -> NoReturn:
        raise _NoNumber(word)

    def written(number: str) -> str:
        return number if math.isfinite(float(number)) else refuse(number)

    return json.loads(text, parse_constant=refuse, parse_float=written, parse_int=str)


def _csv(text: str) -> Iterator[tuple[int, Pair | str]]:
    """The same of a row below the one that names the columns."""
    for number, row in spreadsheets.rows(text, COLUMNS):
        yield number, row if isinstance(row, str) else _pair(row)


def _pair(entry: Any) -> Pair | str:
    """A pair, or what is wrong with the entry."""
    if not isinstance(entry, dict):
        return _("is no object; a line looks like {example}", example=EXAMPLE)
    for name in COLUMNS:
        if name not in entry or entry[name] is None:
            return _("has no {name}", name=name)
        if isinstance(entry[name], (dict, list, bool)):
            return _("its {name} is no text", name=name)
        if not str(entry[name]).strip():
            return _("its {name} is empty", name=name)
    return Pair(str(entry["question"]).strip(), str(entry["answer"]).strip())
