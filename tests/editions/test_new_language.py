"""A third language is a folder and a catalogue: a made-up one, English with accents, gets both, elsewhere."""

from __future__ import annotations

import re
import shutil

import nbformat

from tests.stub.kernels import run
from tests.support.notebooks import FILES, ROOT, read

from . import catalogue, sheet
from .edition import DONE, NEW, open_edition, states, take_over, translate

MADE_UP = "qps"
ACCENTS = str.maketrans("aeiouAEIOU", "áéíóúÁÉÍÓÚ")


def accented(text: str) -> str:
    """A text in the made-up language; fields, code and links are as they were."""
    kept = r"(\{\{|\}\}|\{[^{}]*\}|```.*?```|`[^`]*`|\]\([^)]*\)|</?[^>]+>)"
    parts = re.split(kept, text, flags=re.DOTALL)
    return "".join(part if place % 2 else part.translate(ACCENTS) for place, part in enumerate(parts))


def made_up_helpers(folder):
    """A copy of the helpers with a catalogue of the made-up language."""
    helpers = folder / "helpers"
    shutil.copytree(ROOT / "helpers", helpers, ignore=shutil.ignore_patterns("__pycache__"))
    assert len(catalogue.update(MADE_UP, helpers)) > 500
    path = catalogue.po_file(MADE_UP, helpers)
    empty = catalogue.read(path, MADE_UP)
    for message in empty:
        message.string = accented(message.id) if message.id else message.string
    catalogue.write(empty, path)
    return helpers


def test_a_third_language_is_a_folder_and_a_catalogue(tmp_path, monkeypatch):
    assert catalogue.update(MADE_UP, made_up_helpers(tmp_path)) == []
    english = read(FILES[-1])
    edition = take_over(english, open_edition(tmp_path / "none.ipynb"), MADE_UP)
    assert {state for *_, state in states(english, edition)} == {NEW}

    written = sheet.read(re.sub(r"(?m)((?:^~.*\n)+)", _translated_below, sheet.export("x", MADE_UP, english, edition)))
    translate(edition, written)
    assert {state for *_, state in states(english, edition)} == {DONE}
    assert "1 · " not in edition.cells[0].source
    assert accented(english.cells[2].source.split("\n")[0]) in edition.cells[3].source

    english.cells[0].source += "\n\nOne sentence more."
    found = states(english, take_over(english, edition, MADE_UP))
    assert [cell.id for cell, _, state in found if state != DONE] == [english.cells[0].id]

    lesson = tmp_path / "lesson.ipynb"
    edition.cells = [
        edition.cells[1],
        nbformat.v4.new_code_cell('from helpers import exercises\nexercises.hint("nats")'),
    ]
    nbformat.write(edition, lesson)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert "Thé sóftmáx mákés cháncés" in run(lesson).cells[1].outputs[0].text


def _translated_below(original: re.Match) -> str:
    return original[1] + "\n" + accented(re.sub(r"(?m)^~ ?", "", original[1]))
