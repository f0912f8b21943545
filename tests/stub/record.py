"""`python -m tests.stub.record`: runs the notebooks on the real engine, writes outputs and recordings together.

Then it clicks through the forms, so that the browser tests, too, find recorded answers; and runs the lessons of other
languages against what was recorded, so that their pages show the same answers.

    python -m tests.stub.record                     all notebooks
    python -m tests.stub.record --live              run and check only; nothing is written

What a reader sees on the page is what the model said, and what nbval replays is the same. Run twice on one machine, it
changes nothing. Another machine's arithmetic may differ in the last digits, and then some answers do.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

import nbformat
from gradientai import Gradient

from helpers.service import paths
from helpers.service.local import model_files
from helpers.service.server import local_engine
from tests.editions.outputs import write_all
from tests.stub.clicks import click_all
from tests.stub.kernels import execute
from tests.stub.plugin import TOKEN, environment
from tests.stub.recorded_engine import RecordingEngine, save_recordings
from tests.stub.server import ThreadedServer

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
SEED = 1994  # sampled answers repeat from one recording to the next


def notebook_files() -> list[Path]:
    """The lessons, in order."""
    return sorted(NOTEBOOKS.glob("[0-9]*.ipynb"))


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
        write_all()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.stub.record", description="Records the notebooks.")
    parser.add_argument("--live", action="store_true", help="run the notebooks and write nothing")
    record(notebook_files(), parser.parse_args().live)
    return 0


if __name__ == "__main__":
    sys.exit(main())
