"""An edition of the lessons in another language: the cells of the English one, their prose in other words.

A cell of prose remembers in its metadata which English text it was made from, and has its English cell's id. Code is
taken over, and so are pictures and data, which lie beside the English lessons. `__main__.py` calls this, and
`test_editions.py`, which names each cell that is not up to date.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import nbformat
from nbformat import NotebookNode

from tests.stub.kernels import number
from tests.support.notebooks import NOT_RUN, code_cells, read, tags

MADE_FROM = "translated_from"  # in a cell's metadata: the fingerprint of the English text that it was made from
LANGUAGE_CELL = "language"  # the id of the one cell that only an edition has
NEW, STALE, DONE = "new", "changed", "done"
_LINK = re.compile(r"(\]\()(?!https?:|#)([^)\s]+)")
_DATA = re.compile(r"""([`"'])data/""")
_DATA_ABOVE = re.compile(r"""([`"'])\.\./data/""")


class Translation(NamedTuple):
    """A cell's text in another language.

    Attributes:
        cell: the id of the English cell that it had.
        made_from: the fingerprint of the English text that it was made from.
        text: as the edition has it.
    """

    cell: str
    made_from: str
    text: str


def open_edition(path: Path) -> NotebookNode:
    """A lesson of an edition; an empty one where there is none yet."""
    return read(path) if path.exists() else nbformat.v4.new_notebook()


def fingerprint(text: str) -> str:
    """A short hash by which a text is known again, wherever its lines break."""
    return hashlib.sha256(" ".join(text.split()).encode()).hexdigest()[:12]


def take_over(english: NotebookNode, edition: NotebookNode, language: str) -> NotebookNode:
    """The English lesson as it is now, with all that an edition has translated of it.

    A translation belongs to the cell whose text it was made from, wherever that is now, and else to the cell of its
    id. Outputs are the edition's own while their code is the same, since the helpers say something else in them.

    Args:
        english: the lesson.
        edition: the same as it was translated earlier, or an empty notebook.
        language: the edition's, "es" for example.
    """
    kept = _translations(edition)
    outputs = {cell.id: cell for cell in code_cells(edition)}
    known = {fingerprint(cell.source) for cell in english.cells}
    taken = nbformat.from_dict({**english, "cells": []})
    for cell in map(nbformat.from_dict, english.cells):
        taken.cells.append(_code(cell, outputs.get(cell.id)) if cell.cell_type == "code" else _prose(cell, kept, known))
        if len(taken.cells) == 1:
            taken.cells.append(_code(_language_cell(language), outputs.get(LANGUAGE_CELL)))
    number(taken)
    return taken


def translate(edition: NotebookNode, translations: list[Translation]) -> None:
    """Puts translations, whose links are those of the English text, into the cells of their ids.

    Raises:
        LookupError: there is no such cell.
    """
    cells = {cell.id: cell for cell in edition.cells if cell.cell_type == "markdown"}
    for one in translations:
        if one.cell not in cells:
            raise LookupError(f"There is no cell {one.cell} of prose: export the lesson anew.")
        cells[one.cell].source = links_of_edition(one.text)
        cells[one.cell].metadata[MADE_FROM] = one.made_from


def states(english: NotebookNode, edition: NotebookNode) -> Iterator[tuple[NotebookNode, NotebookNode, str]]:
    """Each English cell of prose, the edition's cell for it, and whether that is NEW, STALE or DONE.

    Args:
        english: a lesson.
        edition: what `take_over` made of it.
    """
    cells = {cell.id: cell for cell in edition.cells}
    for cell in english.cells:
        if cell.cell_type == "markdown":
            made_from = cells[cell.id].metadata.get(MADE_FROM)
            state = NEW if made_from is None else DONE if made_from == fingerprint(cell.source) else STALE
            yield cell, cells[cell.id], state


def links_of_edition(text: str) -> str:
    """Links as they are in an edition's folder: to the same page where it has one, and else to one folder above."""
    moved = _LINK.sub(lambda link: link[1] + ("" if _is_a_page(link[2]) else "../") + link[2], text)
    return _DATA.sub(r"\1../data/", moved)


def links_of_english(text: str) -> str:
    """The reverse of `links_of_edition`."""
    return _DATA_ABOVE.sub(r"\1data/", _LINK.sub(lambda link: link[1] + link[2].removeprefix("../"), text))


def _is_a_page(link: str) -> bool:
    """Whether a link is to a lesson, the index or another page of the folder, which each edition has."""
    return re.fullmatch(r"[\w-]+\.(ipynb|md)", link.split("#")[0]) is not None


def _translations(edition: NotebookNode) -> list[Translation]:
    return [
        Translation(cell.id, cell.metadata[MADE_FROM], cell.source)
        for cell in edition.cells
        if MADE_FROM in cell.metadata
    ]


def _prose(cell: NotebookNode, kept: list[Translation], known: set[str]) -> NotebookNode:
    found = _translation_of(cell, kept, known)
    if found is None:
        cell.source = links_of_edition(cell.source)
    else:
        cell.source, cell.metadata[MADE_FROM] = found.text, found.made_from
    return cell


def _translation_of(cell: NotebookNode, kept: list[Translation], known: set[str]) -> Translation | None:
    """That of the same text, the cell's own first, or else the cell's own of an earlier text."""
    same_text = [one for one in kept if one.made_from == fingerprint(cell.source)]
    same_cell = [one for one in kept if one.cell == cell.id]
    both = [one for one in same_cell if one in same_text]
    earlier = [one for one in same_cell if one.made_from not in known]
    return next(iter([*both, *same_text, *earlier]), None)


def _code(cell: NotebookNode, before: NotebookNode | None) -> NotebookNode:
    cell.source = _DATA.sub(r"\1../data/", cell.source)
    if before is not None and before.source == cell.source and NOT_RUN not in tags(cell):  # else the English ones stay
        cell.outputs = before.outputs
    return cell


def _language_cell(language: str) -> NotebookNode:
    source = f'from helpers import language\n\nlanguage.use("{language}")'
    return nbformat.v4.new_code_cell(source, id=LANGUAGE_CELL)
