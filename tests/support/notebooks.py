"""Reading notebooks in tests: their cells, and what a cell printed or returned."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "notebooks"
FILES = sorted(FOLDER.glob("[0-9]*.ipynb"))
NAMES = [path.name for path in FILES]
EDITIONS = sorted(path.name for path in FOLDER.iterdir() if re.fullmatch(r"[a-z]{2,3}(_[A-Z]{2})?", path.name))
"""The languages that have a folder of their own."""
NOT_RUN = "nbval-skip"  # the tag of cells that the stub server can't answer
EDITION_FILES = [path for language in EDITIONS for path in sorted((FOLDER / language).glob("[0-9]*.ipynb"))]


def read(path: Path) -> nbformat.NotebookNode:
    return nbformat.read(path, as_version=4)


def code_cells(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def tags(cell: nbformat.NotebookNode) -> list[str]:
    return cell.metadata.get("tags", [])


def clear(notebook: nbformat.NotebookNode) -> None:
    """Takes the outputs out, so that a test sees only what its own run has put there."""
    for cell in code_cells(notebook):
        cell.outputs, cell.execution_count = [], None


def prose(notebook: nbformat.NotebookNode) -> str:
    return "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


def said(notebook: nbformat.NotebookNode, source: str, nth: int = 0) -> str:
    """All that the nth cell whose source contains a text printed and returned, progress bars left out."""
    cell = [cell for cell in code_cells(notebook) if source in cell.source][nth]
    texts = []
    for output in cell.outputs:
        data = output.get("data", {})
        if output.get("name") != "stderr" and "application/vnd.jupyter.widget-view+json" not in data:
            texts.append(output.get("text") or data.get("text/plain", ""))
    return "".join(texts)


def numbers(text: str) -> list[float]:
    return [float(number) for number in re.findall(r"\d+(?:\.\d+)?", text)]


def solutions(notebook: nbformat.NotebookNode) -> list[str]:
    """The code that is folded away under "Solution", in whichever language."""
    folded = re.findall(r"<details><summary>\w+</summary>(.*?)</details>", prose(notebook), re.DOTALL)
    return [re.search(r"```python\n(.*?)```", block, re.DOTALL)[1] for block in folded]
