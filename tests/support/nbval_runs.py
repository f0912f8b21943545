"""nbval on changed and moved copies of the notebooks, in processes of their own.

Each takes seconds, so `conftest.py` starts them before the first test, beside which they run one after another;
`test_notebooks.py` reads what came of them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path

import nbformat

from tests.support.notebooks import FOLDER, NAMES, code_cells, read

CHANGES = {
    "an answer": ("The Dallas Cowboys!'", "The Dallas Cowboys?'"),
    "a number": ("sum_loss=67.47", "sum_loss=67.48"),
    "an error message": ("shorten the prompt", "lengthen the prompt"),
    "a helper's line": ("Connected to the local Gradient", "Connected with the local Gradient"),
    "a helper's value": ("age=9, city='Bath'", "age=8, city='Bath'"),
    "what was looked up": ("Anchor Street", "Anchor Road"),
    "what was read": ("Otto Fenn", "Otto Venn"),
    "a count": ("of 20 held out", "of 21 held out"),
    "a score": ("of the 16 hard ones", "of the 17 hard ones"),
    "another score": ("of 12 tickets", "of 13 tickets"),
    "a checker's verdict": ("From 0 to", "From 1 to"),
    "a loss": ("mean 2.50 nats", "mean 2.51 nats"),
    "a gradient": ("by the gradient 0.09240", "by the gradient 0.09241"),
    "a size": ("760,320", "760,321"),
}


def nbval(*files, cwd) -> subprocess.CompletedProcess:
    """Runs nbval in a process of its own, with a stub server of its own, outside the checkout."""
    options = ["-p", "helpers.pytest_plugin", "--nbval", "--nbval-current-env", "-q", "--tb=short", "--color=no", "-rf"]
    options += ["-p", "no:cacheprovider", "-p", "no:schemathesis", "-p", "no:hypothesispytest"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GRADIENT_")}
    return subprocess.run(
        [sys.executable, "-m", "pytest", *options, *map(str, files)],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
    )


def _reversed_and_twice(folder):
    """3, 2, 1, 3, 2, 1 in one session: lesson 3 begins with nothing there, and everything is run again."""
    shutil.copytree(folder, folder.parent / "again")
    return [parent / name for parent in (folder, folder.parent / "again") for name in NAMES[::-1]]


def _second_alone(folder):
    """Lesson 2 with nothing there; lesson 1 begins so in the suite's own run, lesson 3 in the one above."""
    return [folder / NAMES[1]]


def _outputs_changed(name, folder):
    """The page says something else than the code: as after a change in the code."""
    notebook = read(folder / name)
    for cell in code_cells(notebook):
        for output in cell.outputs:
            for old, new in CHANGES.values():
                swap(output, old, new)
    nbformat.write(notebook, folder / name)
    return [folder / name]


def _never_recorded(folder):
    """A prompt that is not in the recordings."""
    path = folder / NAMES[0]
    path.write_text(path.read_text(encoding="utf-8").replace("three best pets", "four worst pets"), encoding="utf-8")
    return [path]


def swap(output, old: str, new: str) -> bool:
    text = output.get("text") or output.get("data", {}).get("text/plain", "")
    if old not in text:
        return False
    if "text" in output:
        output.text = text.replace(old, new)
    else:
        output.data["text/plain"] = text.replace(old, new)
    return True


# What is done to a copy of the notebooks' folder before nbval is run on the files that are returned.
PREPARE = {
    "reversed": _reversed_and_twice,
    "never recorded": _never_recorded,
    "second alone": _second_alone,
    **{f"changed {name}": partial(_outputs_changed, name) for name in NAMES[1:]},
}


class Runs:
    """The runs, one after another, beside the tests."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="gradient-nbval-", ignore_cleanup_errors=True)
        self._pool = ThreadPoolExecutor(1)
        self._started: dict[str, Future] = {name: self._pool.submit(self._run, name) for name in PREPARE}

    def result(self, name: str) -> subprocess.CompletedProcess:
        """What a run printed; waits for it."""
        return self._started[name].result()

    def close(self) -> None:
        """Drops what has not begun."""
        self._pool.shutdown(cancel_futures=True)
        self._folder.cleanup()

    def _run(self, name: str) -> subprocess.CompletedProcess:
        folder = Path(self._folder.name) / name.replace(" ", "-") / "copy"
        shutil.copytree(FOLDER, folder)
        return nbval(*PREPARE[name](folder), cwd=folder.parent)
