"""The catalogues are whole, and whatever the helpers say to a learner goes through them."""

from __future__ import annotations

import ast
import string
from collections.abc import Iterator

import pytest

from helpers import errors
from helpers.language import FOLDER
from tests.support.notebooks import EDITIONS, ROOT
from tests.support.source import sources

from . import catalogue

LANGUAGES = sorted(path.name for path in FOLDER.iterdir())
COMMANDS = ("helpers.service", "helpers.offline")  # for who runs a service or a room, in English
SPEAKERS = {
    name: source
    for name, source in sources(ROOT / "helpers").items()
    if name == "helpers.service.launcher" or not name.startswith(COMMANDS)
}
# What these are given goes to a learner: an exception's sentence, a line in a form; and so do words on widgets.
SAYING = {"NotYet", "LauncherError", "ValueError", "print", "_say", "_start", "heading", "number_field"} | {
    name for name, one in vars(errors).items() if isinstance(one, type)
}
LABELS = {"description", "tooltip", "placeholder"}


@pytest.fixture(params=LANGUAGES)
def language(request):
    return request.param


def said(language: str, suffix: str = ".po") -> dict[str, str]:
    found = catalogue.read(catalogue.po_file(language).with_suffix(suffix), language)
    return {message.id: message.string for message in found if message.id}


def test_each_edition_has_a_catalogue():
    assert set(EDITIONS) <= set(LANGUAGES)


def test_every_text_is_in_the_catalogue_and_translated(language):
    known = said(language)
    here = {message.id for message in catalogue.texts() if message.id}
    assert sorted(here - set(known)) == [], f"python -m tests.editions {language}"
    assert sorted(set(known) - here) == [], f"no one says these any more: python -m tests.editions {language}"
    assert [text for text, other in known.items() if not other] == []


def test_what_the_helpers_read_is_what_translators_wrote(language):
    assert said(language, ".mo") == said(language)


def test_a_translation_has_the_fields_of_its_text(language):
    for text, other in said(language).items():
        assert fields(other) == fields(text), text


def fields(text: str) -> list[str] | None:
    """The names in braces, with how they are shown; None for a text in which braces are braces."""
    try:
        return sorted(f"{name}!{kind}:{spec}" for _, name, spec, kind in string.Formatter().parse(text) if name)
    except ValueError:
        return None


def bare(source: str) -> Iterator[str]:
    """Sentences and labels that no catalogue sees: in an exception, or on a form."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        name = getattr(node.func, "id", getattr(node.func, "attr", ""))
        given = node.args if name == "Finding" else node.args[:1] if name in SAYING else []
        given = given + [one.value for one in node.keywords if one.arg in LABELS]
        for one in given:
            parts = one.values if isinstance(one, ast.JoinedStr) else [one]
            words = [part.value for part in parts if isinstance(part, ast.Constant) and isinstance(part.value, str)]
            if any(map(str.isalpha, "".join(words))):
                yield ast.unparse(one)


def astray(source: str) -> Iterator[str]:
    """Uses of `_` and `later` that extraction can't read, and other uses of the name `_` beside them."""
    tree = ast.parse(source)
    if not any(isinstance(node, ast.ImportFrom) and node.module == "language" for node in ast.walk(tree)):
        return
    inner = [part for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in ast.walk(node)]
    for node in ast.walk(tree):
        name = getattr(node, "id", getattr(node, "arg", None))
        if name == "_" and not isinstance(getattr(node, "ctx", ast.Store()), ast.Load):
            yield f"line {node.lineno}: _ is a name for something else"
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in catalogue.KEYWORDS and node in inner:
            yield f"line {node.lineno}: inside an f-string it is not found"


def test_whatever_is_said_to_a_learner_goes_through_the_catalogues():
    found = {name: list(bare(source)) for name, source in SPEAKERS.items()}
    assert {name: texts for name, texts in found.items() if texts} == {}


def test_texts_are_written_so_that_they_are_found():
    found = {name: list(astray(source)) for name, source in SPEAKERS.items()}
    assert {name: lines for name, lines in found.items() if lines} == {}


@pytest.mark.parametrize(
    ("rule", "source"),
    [
        (bare, "raise BadInput('There is none.')"),
        (bare, "raise errors.UnknownModel(f'There is no {name}.')"),
        (bare, "widgets.Button(description='Ask')"),
        (bare, "return Finding(_('disk'), False, 'There is no room')"),
        (bare, "self._start('Asking…', work)"),
        (astray, "from .language import _\nfor _ in range(3): pass"),
        (astray, "from .language import _\nrun(lambda _: 1)"),
        (astray, "from .language import _\nf'{_(\"Ask\")}'"),
    ],
)
def test_a_rule_finds_what_breaks_it(rule, source):
    assert len(list(rule(source))) == 1


def test_a_rule_finds_nothing_where_nothing_is_wrong():
    assert list(bare("raise BadInput(_('There is none.'))\nText(description=_('Ask'))\nText(description='')")) == []
    assert list(astray("from .language import _\nprint(_('Ask'), f'{count}')")) == []
