"""Each edition is in step with the English lessons: every cell is translated from the text that it has now."""

from __future__ import annotations

import re
from collections import Counter

import nbformat
import pytest

from tests.support.notebooks import EDITIONS, FILES, FOLDER, read

from . import sheet
from .edition import (
    DONE,
    MADE_FROM,
    NEW,
    STALE,
    Translation,
    fingerprint,
    links_of_edition,
    links_of_english,
    open_edition,
    states,
    take_over,
    translate,
)

LESSONS = [(language, path) for language in EDITIONS for path in FILES]
PAGES = [page for language in EDITIONS for page in sorted((FOLDER / language).glob("*.md"))]
COMMAND = "python -m tests.editions"


@pytest.fixture(params=LESSONS, ids=[f"{language}-{path.stem}" for language, path in LESSONS])
def pair(request):
    """A lesson, its edition, and the language."""
    language, path = request.param
    return read(path), open_edition(FOLDER / language / path.name), language


def test_code_order_and_pictures_are_those_of_the_english_lesson(pair):
    """Else the command takes them over."""
    english, edition, language = pair
    assert _without_outputs(edition) == _without_outputs(take_over(english, edition, language)), f"{COMMAND} {language}"


def test_every_cell_is_translated_from_the_text_that_it_has_now(pair):
    english, edition, language = pair
    found = [(cell, state) for cell, _, state in states(english, take_over(english, edition, language))]
    if all(state == NEW for _, state in found):
        pytest.skip(f"no cell of this lesson is translated yet: {COMMAND} {language} --export FOLDER")
    left = [f"{cell.id} ({state}): {cell.source[:60]!r}" for cell, state in found if state != DONE]
    assert not left, f"{COMMAND} {language} --export FOLDER; to translate: " + "; ".join(left)


def test_a_translation_keeps_code_links_and_headings(pair):
    english, edition, _ = pair
    cells = {cell.id: cell for cell in edition.cells}
    for cell in english.cells:
        if cell.cell_type == "markdown" and MADE_FROM in cells[cell.id].metadata:
            assert _frame(links_of_english(cells[cell.id].source)) == _frame(cell.source), cell.id


@pytest.mark.parametrize("page", PAGES, ids=lambda page: f"{page.parent.name}-{page.stem}")
def test_a_page_is_translated_from_the_text_that_it_has_now(page):
    """Whoever has brought it up to date writes the new fingerprint into its last line."""
    now = fingerprint((FOLDER / page.name).read_text(encoding="utf-8"))
    last = page.read_text(encoding="utf-8").strip().splitlines()[-1]
    assert last == f"<!-- translated from ../{page.name}, {now} -->"


def _without_outputs(notebook) -> list[tuple]:
    return [(cell.cell_type, cell.id, cell.source, dict(cell.metadata)) for cell in notebook.cells]


def _frame(text: str) -> tuple:
    """What is the same in every language: code, where links go, levels of headings, what is folded, rows of tables."""
    code = re.findall(r"^```.*?^```", text, re.MULTILINE | re.DOTALL)
    links = Counter(re.findall(r"\]\(([^)\s]+)\)", text))
    headings = re.findall(r"^#+(?= )", text, re.MULTILINE)
    return code, links, headings, text.count("<details>"), len(re.findall(r"^\|", text, re.MULTILINE))


# --- how it is kept so, on small lessons ---


def lesson(*cells: str) -> nbformat.NotebookNode:
    """Of "id: text" for prose, and "id> text" for code."""
    made = nbformat.v4.new_notebook()
    for cell in cells:
        name, kind, text = re.match(r"([\w-]+)(.) (.*)", cell, re.DOTALL).groups()
        make = nbformat.v4.new_code_cell if kind == ">" else nbformat.v4.new_markdown_cell
        made.cells.append(make(text, id=name))
    return made


def spanish(english, **texts):
    edition = take_over(english, nbformat.v4.new_notebook(), "es")
    originals = {cell.id: cell.source for cell in english.cells}
    translate(edition, [Translation(cell, fingerprint(originals[cell]), text) for cell, text in texts.items()])
    return edition


def taken(english, edition):
    """What the edition says after a take-over: id, text and state of each cell of prose."""
    return [(cell.id, shown.source, state) for cell, shown, state in states(english, take_over(english, edition, "es"))]


def test_what_changed_is_marked_and_keeps_its_translation_and_what_is_new_is_named():
    edition = spanish(lesson("a: One", "b: Two", "c: Three"), a="Uno", b="Dos", c="Tres")
    changed = lesson("a: One", "new: Between", "b: Two and a half")
    assert taken(changed, edition) == [("a", "Uno", DONE), ("new", "Between", NEW), ("b", "Dos", STALE)]


def test_a_translation_follows_its_text_to_another_id():
    """As when a notebook's cells are numbered anew."""
    edition = spanish(lesson("a: One", "b: Two"), a="Uno", b="Dos")
    assert taken(lesson("a: Zero", "b: One", "c: Two"), edition) == [
        ("a", "Zero", NEW),
        ("b", "Uno", DONE),
        ("c", "Dos", DONE),
    ]


def test_other_line_breaks_are_no_change():
    assert taken(lesson("a: One\ntwo"), spanish(lesson("a: One two"), a="Uno dos")) == [("a", "Uno dos", DONE)]


def test_code_is_taken_over_and_its_outputs_stay_while_it_is_the_same():
    english = lesson("a: One", "b> print(1)", 'c> Path("data/x.txt")')
    edition = spanish(english, a="Uno")
    for cell in edition.cells[2:]:
        cell.outputs = [nbformat.v4.new_output("stream", text="dicho")]
    english.cells[1].source = "print(2)"
    after = take_over(english, edition, "es")
    sources = [cell.source for cell in after.cells]
    assert sources == ["Uno", 'from helpers import language\n\nlanguage.use("es")', "print(2)", 'Path("../data/x.txt")']
    assert [len(cell.get("outputs", ())) for cell in after.cells] == [0, 0, 0, 1]


def test_links_lead_to_the_edition_s_own_pages_and_else_one_folder_up():
    text = "[a](02_chaining.ipynb) [b](README.md#x) ![c](pictures/c.svg) [d](../helpers/llm.py) [e](https://x) `data/f`"
    moved = links_of_edition(text)
    assert moved == (
        "[a](02_chaining.ipynb) [b](README.md#x) ![c](../pictures/c.svg) [d](../../helpers/llm.py) [e](https://x) "
        "`../data/f`"
    )
    assert links_of_english(moved) == text


def test_a_sheet_that_is_exported_and_imported_changes_nothing_but_what_was_written():
    english = lesson("a: # One\n\n~ a tilde\n\n![x](pictures/c.svg)", "b> 1", "c: Two", "d: Three")
    edition = spanish(english, a="# Uno\n\n![x](pictures/c.svg)")
    written = sheet.export("01.ipynb", "es", english, edition).replace("~ Two\n", "~ Two\n\nDos\n\n[y](data/z)")
    again = spanish(english)
    translate(again, sheet.read(written))
    assert [cell.source for cell in again.cells if cell.cell_type == "markdown"] == [
        "# Uno\n\n![x](../pictures/c.svg)",
        "Dos\n\n[y](../data/z)",
        "Three",
    ]
    assert [state for *_, state in states(english, again)] == [DONE, DONE, NEW]


def test_a_sheet_of_an_older_lesson_is_imported_as_what_it_is():
    english = lesson("a: One")
    written = sheet.export("01.ipynb", "es", english, spanish(english)).replace("~ One\n", "~ One\n\nUno\n")
    english.cells[0].source = "One and a half"
    edition = spanish(english)
    translate(edition, sheet.read(written))
    assert taken(english, edition) == [("a", "Uno", STALE)]
    with pytest.raises(LookupError, match="gone"):
        translate(edition, [Translation("gone", "0", "nada")])
