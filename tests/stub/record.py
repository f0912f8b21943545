"""`python -m tests.stub.record`: runs the notebooks on the real engine, writes outputs and recordings together.

Then it clicks through the forms, so that the browser tests, too, find recorded answers; and runs the lessons of other
languages against what was recorded, so that their pages show the same answers.

    python -m tests.stub.record                     all notebooks
    python -m tests.stub.record 03 05               these alone, beside what is recorded of the others
    python -m tests.stub.record --live              run and check only; nothing is written

What a reader sees on the page is what the model said, and what nbval replays is the same. Run twice on one machine, it
changes nothing. Another machine's arithmetic may differ in the last digits, and then some answers do.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import nbformat
from gradientai import Gradient

from helpers.service import paths
from helpers.service.engine import Engine
from helpers.service.local import model_files
from helpers.service.server import local_engine
from tests.editions.outputs import write_all
from tests.stub.clicks import click_all
from tests.stub.kernels import run, tidy
from tests.stub.plugin import serving
from tests.stub.recorded_engine import RecordingEngine, load_recordings, save_recordings
from tests.support.notebooks import FILES

SEED = 1994  # sampled answers repeat from one recording to the next
BEGAN, ENDED = "iopub.execute_input", "shell.execute_reply"  # of a cell, as nbclient notes it down


def notebook_files(beginnings: Sequence[str] = ()) -> list[Path]:
    """The lessons whose names begin so, in order; all of them without any beginning."""
    return [file for file in FILES if file.name.startswith(tuple(beginnings) or "")]


def real_engine() -> Engine:
    """The engine of a real service, with the model, which is downloaded first where it is not there."""
    cache = paths.cache_dir()
    return local_engine(model_files.ensure(cache), cache, seed=SEED)


def longest_wait(notebook: nbformat.NotebookNode) -> float:
    """Seconds that the slowest cell of a run took."""
    times = [cell.metadata["execution"] for cell in notebook.cells if "execution" in cell.metadata]
    ends = ([datetime.fromisoformat(one[name].replace("Z", "+00:00")) for name in (BEGAN, ENDED)] for one in times)
    return max((ended - began).total_seconds() for began, ended in ends)


def record(files: list[Path], live: bool, keep: bool = False) -> None:
    """Runs notebooks on the real engine behind the stub's own HTTP layer.

    Args:
        files: notebooks.
        live: leave notebooks and recordings as they are.
        keep: leave the recordings of other notebooks and of the clicks as they are.
    """
    engine = RecordingEngine(real_engine())
    others = load_recordings().recordings if keep else {}
    with serving(engine):
        for path in files:
            started = time.monotonic()
            notebook = run(path)
            took = f"{time.monotonic() - started:.0f} s, the longest wait {longest_wait(notebook):.0f} s"
            if not live:
                nbformat.write(tidy(notebook), path)
            print(f"{path.name}: {took}", flush=True)
        if not keep:
            click_all(Gradient())
    if not live:
        save_recordings(engine, others=others)
        write_all()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.stub.record", description="Records the notebooks.")
    parser.add_argument("lessons", nargs="*", help="how the names of these begin, such as 03; all without any")
    parser.add_argument("--live", action="store_true", help="run the notebooks and write nothing")
    given = parser.parse_args()
    record(notebook_files(given.lessons), given.live, keep=bool(given.lessons))
    return 0


if __name__ == "__main__":
    sys.exit(main())
