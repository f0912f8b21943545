"""Runs a lesson in a kernel of its own, top to bottom, and tidies what came of it.

Called by `record.py`, by the editions of other languages, and by the live run of the tests.
"""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
from nbclient import NotebookClient

from tests.support.notebooks import code_cells, read

CELL_SECONDS = 600
NEVER = "no-cell-has-this-tag"
READERS_PORT = "127.0.0.1:50123"  # the port is another one at every start; on the page it stays the same
READERS_ID = r"04172a42-3338-40d8-988d-7bb8e17f14f3_\1"  # so is the id of an adapter or a collection


def run(path: Path, skipped: str = NEVER) -> nbformat.NotebookNode:
    """Runs a notebook top to bottom in a fresh kernel, in its own folder.

    Args:
        path: the notebook.
        skipped: the tag of cells that are not run, and keep their outputs.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell failed that was not meant to.
    """
    notebook = read(path)
    client = NotebookClient(
        notebook,
        timeout=CELL_SECONDS,
        kernel_name="python3",
        coalesce_streams=True,  # else it depends on timing whether a cell's prints are one output or several
        skip_cells_with_tag=skipped,
        resources={"metadata": {"path": str(path.parent)}},
    )
    client.execute()
    return notebook


def tidy(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Removes what differs from run to run or from machine to machine and says nothing to a reader.

    Cells keep their ids: by these, and by what they say, the editions of other languages know them.
    """
    for output in (output for cell in notebook.cells for output in cell.get("outputs", ())):
        if "text" in output:
            output.text = re.sub(r"127\.0\.0\.1:\d+", READERS_PORT, output.text)
            output.text = re.sub(r"[0-9a-f-]{36}_(model_adapter|rag_config)", READERS_ID, output.text)
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    number(notebook)
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        for output in cell.get("outputs", ()):
            if "text/html" in output.get("data", {}):
                output.data.pop("application/vnd.jupyter.widget-view+json", None)  # a page has a form's picture
    return notebook


def number(notebook: nbformat.NotebookNode) -> None:
    """Counts the cells of code as a kernel does that runs all of them, those that were skipped as well."""
    for count, cell in enumerate(code_cells(notebook), 1):
        cell.execution_count = count
        for output in cell.outputs:
            if output.output_type == "execute_result":
                output.execution_count = count
