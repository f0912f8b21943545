"""nbval on changed and moved copies of the notebooks, in processes of their own.

Each takes seconds, so `conftest.py` starts them before the first test, beside which they run one after another;
`test_notebooks.py` reads what came of them.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path

import nbformat

from tests.support.notebooks import EDITIONS, FOLDER, NAMES, code_cells, read

IN_OTHER_LANGUAGES = [f"{language}/{NAMES[-1]}" for language in EDITIONS]  # one each, as all are run by the same net


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
    """From the last to the first, and again, in one session: the last begins with nothing there, and all run twice."""
    shutil.copytree(folder, folder.parent / "again")
    return [parent / name for parent in (folder, folder.parent / "again") for name in NAMES[::-1]]


def _second_alone(folder):
    """Lesson 2 with nothing there; lesson 1 begins so in the suite's own run, the last in the one above."""
    return [folder / NAMES[1]]


def _outputs_changed(name, folder):
    """The page says something else than the code: as after a change in the code."""
    notebook = read(folder / name)
    for cell in code_cells(notebook):
        falsify(cell)
    nbformat.write(notebook, folder / name)
    return [folder / name]


def _never_recorded(folder):
    """A prompt that is not in the recordings."""
    path = folder / NAMES[0]
    path.write_text(path.read_text(encoding="utf-8").replace("three best pets", "four worst pets"), encoding="utf-8")
    return [path]


def falsify(cell) -> bool:
    """Changes a sign in each output of a cell that a reader sees as text; whether there was one."""
    changed = False
    for output in cell.outputs:
        if "text" in output:
            output.text, found = _falsified(output.text)
            changed |= found
        for kind in ("text/plain", "text/html"):
            if kind in output.get("data", {}):
                output.data[kind], found = _falsified(output.data[kind])
                changed |= found
    return changed


def _falsified(text: str) -> tuple[str, bool]:
    """A text with its first letter or digit changed for another, in a picture that of its alternative text."""
    place = re.search(r'(?<=alt=")\w|(?<!<)\b[^\W_]', text)
    if place is None:
        return text, False
    other = "7" if place[0].isdigit() and place[0] != "7" else "3" if place[0].isdigit() else "Q"
    return text[: place.start()] + (other if other != place[0] else "Z") + text[place.end() :], True


# What is done to a copy of the notebooks' folder before nbval is run on the files that are returned.
PREPARE = {
    "reversed": _reversed_and_twice,
    "never recorded": _never_recorded,
    "second alone": _second_alone,
    **{f"changed {name}": partial(_outputs_changed, name) for name in [*NAMES, *IN_OTHER_LANGUAGES]},
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
        folder = Path(self._folder.name) / name.replace(" ", "-").replace("/", "-") / "copy"
        shutil.copytree(FOLDER, folder)
        return nbval(*PREPARE[name](folder), cwd=folder.parent)
