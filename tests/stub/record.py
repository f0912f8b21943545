"""`python -m tests.stub.record`: runs the notebooks on the real engine, writes outputs and recordings together.

Then it clicks through the forms, so that the browser tests, too, find recorded answers.

    python -m tests.stub.record                     all notebooks
    python -m tests.stub.record --live              run and check only; nothing is written

What a reader sees on the page is what the model said, and what nbval replays is the same. Run twice on one machine, it
changes nothing. Another machine's arithmetic may differ in the last digits, and then some answers do.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import tempfile
import time
from pathlib import Path

import nbformat
from gradientai import Gradient
from nbclient import NotebookClient

from helpers.service import paths
from helpers.service.local import model_files
from helpers.service.server import local_engine
from tests.stub.clicks import click_all
from tests.stub.plugin import TOKEN, environment
from tests.stub.recorded_engine import RecordingEngine, save_recordings
from tests.stub.server import ThreadedServer

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
SEED = 1994  # sampled answers repeat from one recording to the next
CELL_SECONDS = 600
READERS_PORT = "127.0.0.1:50123"  # the port is another one at every start; on the page it stays the same
READERS_ID = r"04172a42-3338-40d8-988d-7bb8e17f14f3_\1"  # so is the id of an adapter or a collection


def notebook_files() -> list[Path]:
    """The lessons, in order."""
    return sorted(NOTEBOOKS.glob("[0-9]*.ipynb"))


def execute(path: Path) -> nbformat.NotebookNode:
    """Runs a notebook top to bottom in a fresh kernel, in its own folder.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell failed that was not meant to.
    """
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=CELL_SECONDS,
        kernel_name="python3",
        coalesce_streams=True,  # else it depends on timing whether a cell's prints are one output or several
        resources={"metadata": {"path": str(path.parent)}},
    )
    client.execute()
    return tidy(notebook)


def tidy(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Removes what differs from run to run or from machine to machine and says nothing to a reader."""
    for output in (output for cell in notebook.cells for output in cell.get("outputs", ())):
        if "text" in output:
            output.text = re.sub(r"127\.0\.0\.1:\d+", READERS_PORT, output.text)
            output.text = re.sub(r"[0-9a-f-]{36}_(model_adapter|rag_config)", READERS_ID, output.text)
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        for output in cell.get("outputs", ()):
            view = output.get("data", {}).get("application/vnd.jupyter.widget-view+json")
            if view is not None:
                view["model_id"] = cell.id  # a form's own id is drawn anew in every kernel
    return notebook


def record(files: list[Path], live: bool) -> None:
    """Runs notebooks on the real engine behind the stub's own HTTP layer.

    Args:
        files: notebooks.
        live: leave notebooks and recordings as they are.
    """
    cache = paths.cache_dir()
    found = model_files.ensure(cache)
    with tempfile.TemporaryDirectory(prefix="gradient-record-", ignore_cleanup_errors=True) as folder:
        engine = RecordingEngine(local_engine(found, cache, seed=SEED))
        server = ThreadedServer(engine, Path(folder), TOKEN).start()
        os.environ.update(environment(server.url, Path(folder)))
        try:
            for path in files:
                started = time.monotonic()
                notebook = execute(path)
                if not live:
                    nbformat.write(notebook, path)
                print(f"{path.name}: {time.monotonic() - started:.0f} s", flush=True)
            click_all(Gradient())
        finally:
            server.stop()
        if not live:
            save_recordings(engine)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.stub.record", description="Records the notebooks.")
    parser.add_argument("--live", action="store_true", help="run the notebooks and write nothing")
    record(notebook_files(), parser.parse_args().live)
    return 0


if __name__ == "__main__":
    sys.exit(main())
