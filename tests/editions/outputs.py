"""Runs the lessons of an edition against the recorded answers, and writes what the helpers say in them.

The model says on these pages what it said on the English ones: nothing is asked of it anew, and a request that was not
recorded ends it. Called by `__main__.py`, and by `tests/stub/record.py` after it has recorded.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import nbformat

from tests.stub.kernels import run, tidy
from tests.stub.plugin import serving
from tests.stub.recorded_engine import COMMAND, load_recordings
from tests.support.notebooks import EDITIONS, FILES, FOLDER, NOT_RUN, code_cells, read

from .edition import open_edition, take_over


class NotRecorded(Exception):
    """Raised when a lesson of an edition asks the model something that no English one has asked."""


def write_all() -> None:
    """Takes all lessons over into all editions, and writes their outputs."""
    for language in EDITIONS:
        for path in FILES:
            target = FOLDER / language / path.name
            nbformat.write(take_over(read(path), open_edition(target), language), target)
        write(FOLDER / language / path.name for path in FILES)


def write(files: Iterable[Path]) -> None:
    """Runs lessons of an edition and writes their outputs.

    Raises:
        NotRecorded: one asks what was not recorded; its file is as it was.
        nbclient.exceptions.CellExecutionError: a cell fails.
    """
    with serving(load_recordings()):
        for path in files:
            notebook = tidy(run(path, skipped=NOT_RUN))
            _require_recorded(path, notebook)
            nbformat.write(notebook, path)


def _require_recorded(path: Path, notebook: nbformat.NotebookNode) -> None:
    """Exercises take a refusal for a wrong answer, so no cell need have failed."""
    for cell in code_cells(notebook):
        if COMMAND in str(cell.outputs):
            raise NotRecorded(f"{path.name}, cell {cell.id}, asks what was not recorded: {COMMAND} records it.")
