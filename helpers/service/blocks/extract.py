"""Finds the values of a few fields in a document. Called by `http/blocks.py`.

The model never writes a value: it chooses among what stands in the document and has the field's type, so a value is
always one that occurs there. A field with a label ("Paid: no") is read without asking.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from . import texts
from .model import Model

Value = str | int | float | bool
MOST_CANDIDATES = 24
NEAR_SENTENCES = 4  # of a long document, those that are shown to the model
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|[_\-\s]+")
_NUMBER = re.compile(r"(?<![\w.:,])[-+]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?![\w:]|[.,]\d)")
_LABEL = re.compile(r"(?:^|[\n.;|])\s*([A-Za-z][\w \-]{0,40}?)\s*[:=]\s*([^\n;|]{1,200})")
_YES, _NO = ("yes", "true", "y", "1"), ("no", "false", "n", "0", "none")
_MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*"
_WRITTEN_DATE = rf"\d{{1,2}}\.? {_MONTH}(?: \d{{4}})?|{_MONTH} \d{{1,2}}(?:, \d{{4}})?"
_DATE = rf"\d{{4}}-\d\d-\d\d|\d{{1,2}}[./]\d{{1,2}}[./]\d{{2,4}}|{_WRITTEN_DATE}"
# A field whose name has one of these words has values of this form, and no others.
_FORMS = (
    (r"mail", r"[\w.+-]+@[\w-]+\.[\w.-]*\w"),
    (r"phone|telephone|mobile|fax", r"\+?\d[\d ()/-]{6,}\d"),
    (r"website|url|homepage|link", r"(?:https?://|www\.)[^\s,;<>]*\w"),
    (r"date|day|birthday|deadline|due", rf"(?i:{_DATE})"),
    (r"title|book|song|film", r"(?<=[\"'“‘])[A-Z][^\"'”’\n]{1,60}(?=[\"'”’])"),
    (r"time|departure|start|end", r"\b\d{1,2}[:.]\d\d\b(?: ?[ap]m)?"),
)
_NAMES = re.compile(
    r"[\"'“‘]([^\"'”’\n]{2,60})[\"'”’]|\b[A-Z]{1,4} ?\d[\w-]*\b|"
    r"\b[A-Z][\w'’-]*(?:(?: of| and| de| von| van| &)? [A-Z0-9][\w'’-]*)*(?:(?<=Ltd)\.|(?<=Inc)\.|(?<=Co)\.)?"
)
_TITLE = re.compile(r"^(?:Dr|Mr|Mrs|Ms|Prof)\.?\s+|^(?:The|My|A|An|Our|Please|It|He|She|You|On|In|At|Flight) (?=[A-Z])")
_NO_NAMES_WORDS = "Dr Mr Mrs Ms Prof The My A An I It He She You We They On In At Our Please His Her"
_NO_NAMES = frozenset(_NO_NAMES_WORDS.split())


# What texts have without calling it so: "Rosa lives in Oslo" has a name and a city, and neither word.
_UNSAID_WORDS = """
age amount author city company country customer name organisation organization person place price speaker town
university year
"""
_UNSAID = frozenset(_UNSAID_WORDS.split())
_ROOT = 4  # letters that two forms of a word share: weighs and weight, published and publisher


def entity(model: Model, document: str, schema: Mapping[str, str]) -> dict[str, Value]:
    """The value of each field that the document has; the others are left out.

    Args:
        model: chooses among the values that are there.
        document: the text.
        schema: the type of each field: "string", "number" or "boolean".

    Raises:
        NoText: there is nothing in the document to read.
    """
    text = texts.text_of(document)
    found = {name: _value(model, text, name, kind) for name, kind in schema.items()}
    return {name: value for name, value in found.items() if value is not None}


def _value(model: Model, text: str, name: str, kind: str) -> Value | None:
    asked = " ".join(part.lower() for part in _CAMEL.split(name) if part)
    labelled = _labelled(text, asked)
    if kind == "boolean":
        return _boolean(model, text, asked, labelled)
    if labelled is not None:
        value = _first_number(labelled) if kind == "number" else _string(labelled, asked)
        if value is not None:
            return value
    if not _is_spoken_of(text, asked):
        return None
    if kind == "number":
        return _number(model, text, asked)
    return _chosen(model, text, asked, _strings(text, asked))


def _is_spoken_of(text: str, asked: str) -> bool:
    """Whether a text may have what is asked for: it has such a word, or the thing has a form or goes without saying."""
    wanted = asked.split()
    if _form(asked) is not None or _UNSAID & set(wanted):
        return True
    roots = {word[:_ROOT] for word in texts.words(text)}
    return any(word[:_ROOT] in roots for word in texts.words(asked))


def _labelled(text: str, asked: str) -> str | None:
    """What stands after "Asked:" in the text."""
    wanted = set(texts.words(asked))
    for label, value in _LABEL.findall(text):
        if wanted and set(texts.words(label)) == wanted:
            return value.strip()
    return None


def _boolean(model: Model, text: str, asked: str, labelled: str | None) -> bool | None:
    if labelled is not None:
        first = re.split(r"\W", labelled.lower())[0]
        if first in (*_YES, *_NO):
            return first in _YES
    nearest = _nearest(text, asked, 1)
    if not set(texts.words(asked)) & set(texts.words(nearest)):
        return None  # nothing is said of it
    return re.search(r"\b(?:not|no|never|without|isn't|aren't|don't|doesn't)\b", nearest.lower()) is None


def _number(model: Model, text: str, asked: str) -> Value | None:
    candidates = list(dict.fromkeys(_NUMBER.findall(text)))
    if "year" in asked:
        candidates = [one for one in candidates if re.fullmatch(r"1\d{3}|2[01]\d\d", one)]
    beside = [one for one in candidates if _stands_beside(text, one, asked)]
    value = beside[0] if beside else _chosen(model, text, asked, candidates)
    return None if value is None else _first_number(value)


def _stands_beside(text: str, number: str, asked: str) -> bool:
    """Whether the word before or after a number is one of those asked for: "45 minutes"."""
    beside = re.search(rf"(\w*)\W*(?<![\w.,]){re.escape(number)}(?![\w,])\W*(\w*)", text)
    return beside is not None and bool(set(texts.words(" ".join(beside.groups()))) & set(texts.words(asked)))


def _first_number(text: str) -> int | float | None:
    match = _NUMBER.search(text)
    if match is None:
        return None
    written = match[0].replace(",", "")
    return float(written) if "." in written else int(written)


def _string(labelled: str, asked: str) -> str | None:
    form = _form(asked)
    if form is not None:
        match = re.search(form, labelled)
        return match[0] if match else None
    return re.split(r"(?<=\w\w)[.,;](?:\s|$)", labelled)[0].strip() or None


def _strings(text: str, asked: str) -> list[str]:
    form = _form(asked)
    if form is not None:
        return list(dict.fromkeys(match[0] for match in re.finditer(form, text)))
    found = []
    for match in _NAMES.finditer(text):
        name = _TITLE.sub("", match[1] or match[0]).strip()
        if len(name) > 1 and name not in _NO_NAMES:
            found.append(name)
    return list(dict.fromkeys(found))


def _form(asked: str) -> str | None:
    return next((form for words, form in _FORMS if re.search(rf"\b(?:{words})", asked.replace("email", "mail"))), None)


def _chosen(model: Model, text: str, asked: str, candidates: list[str]) -> str | None:
    """What the model finds likeliest of what the text has, or None: it has nothing, or nothing of this."""
    if not candidates:
        return None
    shown = _nearest(text, asked, 1)
    if not set(texts.words(asked)) & set(texts.words(shown)):  # no sentence names it
        shown = _nearest(text, asked, NEAR_SENTENCES)
    near = [one for one in candidates if one in shown] or candidates
    if len(near) == 1:
        return near[0]
    return model.choice(f"{shown}\n\nQuestion: What is the {asked}?\nAnswer:", near[:MOST_CANDIDATES])


def _nearest(text: str, asked: str, count: int) -> str:
    """The sentences of a text that are nearest to what is asked, in their order."""
    found = texts.sentences(text)
    places = sorted(place for place, _ in texts.ranked(found, asked)[:count])
    return " ".join(found[place] for place in places)
