"""The lessons as committed: their form, and the net of nbval under them, which is proved to hold."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import nbformat
import pytest

from tests import notebooks
from tests.notebooks import FILES, FOLDER, NAMES, ROOT, code_cells, prose, read

MAX_LINES = 12
# Cells whose output nbval does not compare, and how many of them: each says why in its second line.
EXEMPT = {
    "01_setup.ipynb": {"NBVAL_IGNORE_OUTPUT": 1},
    "02_chaining.ipynb": {},
    "03_fine_tuning.ipynb": {"NBVAL_SKIP": 3},
}


@pytest.fixture(params=FILES, ids=NAMES)
def notebook(request):
    return read(request.param)


def nbval(*files, cwd) -> subprocess.CompletedProcess:
    """Runs nbval in a process of its own, with a stub server of its own, outside the checkout."""
    options = ["-p", "helpers.pytest_plugin", "--nbval", "--nbval-current-env", "-q", "--tb=short", "--color=no", "-rf"]
    options += ["--nbval-sanitize-with", str(ROOT / "tests" / "nbval_sanitize.cfg"), "-p", "no:cacheprovider"]
    options += ["-p", "no:schemathesis", "-p", "no:hypothesispytest"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GRADIENT_")}
    return subprocess.run(
        [sys.executable, "-m", "pytest", *options, *map(str, files)],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
    )


# Sets of notebooks that nbval is run on: a name, and what is done to a copy of the folder before it; returns the files.


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
                _swap(output, old, new)
    nbformat.write(notebook, folder / name)
    return [folder / name]


def _never_recorded(folder):
    """A prompt that is not in the recordings."""
    path = folder / NAMES[0]
    path.write_text(path.read_text(encoding="utf-8").replace("three best pets", "four worst pets"), encoding="utf-8")
    return [path]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """nbval on each of these sets, two at a time, because each takes seconds; a test takes the result it needs."""
    prepares = {"reversed": _reversed_and_twice, "never recorded": _never_recorded, "second alone": _second_alone}
    prepares |= {f"changed {name}": partial(_outputs_changed, name) for name in NAMES[1:]}
    prepared = {}
    for what, prepare in prepares.items():
        folder = tmp_path_factory.mktemp("elsewhere") / "copy"
        shutil.copytree(FOLDER, folder)
        prepared[what] = (prepare(folder), folder.parent)
    with ThreadPoolExecutor(2) as pool:
        started = {what: pool.submit(nbval, *files, cwd=folder) for what, (files, folder) in prepared.items()}
        yield lambda what: started[what].result()


def test_every_code_cell_has_run_in_order(notebook):
    counts = [cell.execution_count for cell in code_cells(notebook)]
    assert counts == list(range(1, len(counts) + 1))


def test_no_committed_output_is_an_error_or_names_a_machine(notebook):
    for cell in code_cells(notebook):
        assert all(output.output_type != "error" for output in cell.outputs), cell.source
        assert all(output.get("name") != "stderr" for output in cell.outputs), cell.source
        assert not re.search(r"/(home|root|tmp|Users)/", str(cell.outputs)), cell.source


def test_cells_are_short(notebook):
    for cell in code_cells(notebook):
        assert len(cell.source.splitlines()) <= MAX_LINES, cell.source


def test_exempted_cells_are_the_known_ones_and_say_why():
    for path in FILES:
        found: dict[str, int] = {}
        for cell in code_cells(read(path)):
            marker = re.match(r"# (NBVAL_\w+|PYTEST_VALIDATE\w+)\n(.*)", cell.source)
            if marker:
                found[marker[1]] = found.get(marker[1], 0) + 1
                assert marker[2].startswith("# ") and len(marker[2]) > 20, "the second line says why"
            assert not marker or cell.source.count("NBVAL_") == 1
            assert "nbval" not in str(cell.metadata).lower()
        assert found == EXEMPT[path.name]


def test_every_picture_has_an_alternative_text(notebook):
    outputs = [output.get("data", {}) for cell in code_cells(notebook) for output in cell.outputs]
    assert not any("image/png" in data for data in outputs), "JupyterLab shows no alternative text for these"
    page = prose(notebook) + "".join(data.get("text/html", "") for data in outputs)
    for alt in re.findall(r"!\[(.*?)\]\(", page):
        assert len(alt) > 20
    for picture in re.findall(r"<img[^>]*>", page):
        assert re.search(r'alt="[^"]{20,}"', picture)


def test_every_lesson_has_its_frame(notebook):
    text = prose(notebook)
    for part in ("**You will learn**", "| Time | Memory | Run before |", "minutes", "GB"):
        assert part in text.split("\n## ")[0], part
    headings = re.findall(r"^## (.*)$", text, re.MULTILINE)
    assert headings[-3:] == ["Summary", "Exercise", "Clean up"]
    assert len(notebooks.solutions(notebook)) == 1


def test_a_copy_elsewhere_passes_in_reverse_order_and_twice_in_a_row(runs):
    result = runs("reversed")
    assert result.returncode == 0, result.stdout[-3000:]


def test_the_second_lesson_passes_alone(runs):
    result = runs("second alone")
    assert result.returncode == 0, result.stdout[-3000:]
    assert re.search(r"\d+ passed", result.stdout)


CHANGES = {
    "an answer": ("The Dallas Cowboys!'", "The Dallas Cowboys?'"),
    "a number": ("sum_loss=67.47", "sum_loss=67.48"),
    "an error message": ("shorten the prompt", "lengthen the prompt"),
    "a helper's line": ("Connected to the local Gradient", "Connected with the local Gradient"),
    "a helper's value": ("age=9, city='Bath'", "age=8, city='Bath'"),
}


@pytest.mark.parametrize("name", NAMES[1:])
def test_every_changed_output_turns_its_cell_red_and_no_other(runs, name):
    changed = set()
    for position, cell in enumerate(code_cells(read(FOLDER / name))):
        swaps = [_swap(output, old, new) for output in cell.outputs for old, new in CHANGES.values()]
        if any(swaps) and "NBVAL_SKIP" not in cell.source:
            changed.add(position)
    assert len(changed) >= 3
    result = runs(f"changed {name}")
    failed = {int(number) for number in re.findall(r"^FAILED .*::Cell (\d+)", result.stdout, re.MULTILINE)}
    assert failed == changed, result.stdout[-3000:]


def _swap(output, old: str, new: str) -> bool:
    text = output.get("text") or output.get("data", {}).get("text/plain", "")
    if old not in text:
        return False
    if "text" in output:
        output.text = text.replace(old, new)
    else:
        output.data["text/plain"] = text.replace(old, new)
    return True


def test_an_unrecorded_request_is_refused_with_the_command_that_records(runs):
    result = runs("never recorded")
    assert result.returncode == 1
    assert "python -m tests.stub.record" in result.stdout
