"""The words of the helpers in other languages: gettext catalogues in `helpers/locale/`.

    helpers/locale/es/LC_MESSAGES/helpers.po    what translators edit: each English text, and below it theirs
    helpers/locale/es/LC_MESSAGES/helpers.mo    the same as the helpers read it; both are committed

Whatever the helpers put into `_` or `later` is looked for here, and the exercises and questions, which are data. Called
by `__main__.py` and by `test_catalogues.py`, which names each text that has no translation.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from types import ModuleType

from babel.messages import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.mofile import read_mo, write_mo
from babel.messages.pofile import read_po, write_po

from helpers import exercises
from helpers.environment import WORKSPACE_RULE
from helpers.language import DOMAIN
from tests.support.notebooks import ROOT

HELPERS = ROOT / "helpers"
KEYWORDS = {"_": None, "later": None}
# What modules say that know nothing of languages, and the helpers translate.
SAID_ELSEWHERE = (
    WORKSPACE_RULE,
    "Downloading the model (93 MB)",
    "Converting the weights for fine-tuning",
    "Loading the model",
)
NO_DATE = datetime(2000, 1, 1, tzinfo=timezone.utc)  # a catalogue that says the same has the same bytes
_SAYS_NOTHING = re.compile(
    r'^"(Project-Id-Version|Report-Msgid-Bugs-To|POT-Creation-Date|PO-Revision-Date|Last-Translator|Language-Team'
    r"|Generated-By|MIME-Version|Content-Transfer-Encoding).*\n",
    re.MULTILINE,
)


def texts() -> Catalog:
    """All that the helpers say, without translations."""
    found = Catalog(domain=DOMAIN, charset="utf-8")
    for file, _, text, _, _ in extract_from_dir(str(HELPERS), [("**.py", "python")], keywords=KEYWORDS):
        found.add(text, locations=[(f"helpers/{Path(file).as_posix()}", 0)])
    for text in SAID_ELSEWHERE:
        found.add(text)
    for lesson, modules in exercises.LESSONS.items():
        found.add(lesson, locations=[("helpers/exercises/__init__.py", 0)])
        for module in modules:
            file = f"{module.__name__.replace('.', '/')}.py"
            for text in _texts_of(module):
                found.add(text, locations=[(file, 0)])
    return found


def _texts_of(module: ModuleType) -> Iterator[str]:
    """The hints and questions of a lesson, which are data."""
    yield from (exercise.hint for exercise in module.EXERCISES.values())
    for question in module.QUESTIONS.values():
        yield question.asks
        yield from (text for pair in question.choices.items() for text in pair)


def update(language: str, helpers: Path = HELPERS) -> list[str]:
    """Takes new texts into a language's catalogue and removed ones out of it, and compiles it.

    Args:
        language: "es", say; one that has no catalogue yet gets an empty one.
        helpers: the folder that has `locale/` in it.

    Returns:
        The texts that have no translation.
    """
    path = po_file(language, helpers)
    there = read(path, language) if path.exists() else Catalog(language, domain=DOMAIN, charset="utf-8")
    there.update(texts(), no_fuzzy_matching=True)
    write(there, path)
    return missing(read(path, language))


def write(catalogue: Catalog, path: Path) -> None:
    """Writes a catalogue as translators edit it and, beside that, as the helpers read it."""
    catalogue.creation_date = catalogue.revision_date = NO_DATE
    written = io.BytesIO()
    write_po(written, catalogue, width=100, sort_output=True, ignore_obsolete=True, include_lineno=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(_SAYS_NOTHING.sub("", written.getvalue().decode()), encoding="utf-8", newline="\n")
    with path.with_suffix(".mo").open("wb") as file:
        write_mo(file, catalogue)


def read(path: Path, language: str) -> Catalog:
    """A catalogue from its file of either kind."""
    with path.open("rb") as file:
        return read_mo(file) if path.suffix == ".mo" else read_po(file, locale=language, domain=DOMAIN)


def po_file(language: str, helpers: Path = HELPERS) -> Path:
    """Where a language's catalogue is, for translators."""
    return helpers / "locale" / language / "LC_MESSAGES" / f"{DOMAIN}.po"


def missing(catalogue: Catalog) -> list[str]:
    """The texts of a catalogue that have no translation."""
    return [message.id for message in catalogue if message.id and not message.string]
