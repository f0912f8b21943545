"""The lessons as committed: their form, and the net of nbval under them, which is proved to hold."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from helpers.exercises.questions import QUESTIONS
from tests.support import notebooks
from tests.support.nbval_runs import CHANGES, swap
from tests.support.notebooks import FILES, FOLDER, NAMES, code_cells, prose, read, tags

MAX_LINES = 12
# Cells whose output nbval does not compare, by words in them: the tag, which a reader doesn't see, and why.
NO_FILES = "needs the adapter's own files, which the stub server does not write; the live run checks it"
EXEMPT = {
    "01_setup.ipynb": {"doctor.check()": ("nbval-ignore-output", "every machine has its own report")},
    "02_chaining.ipynb": {},
    "03_fine_tuning.ipynb": {
        "export_adapter(new_model, Path(": ("nbval-skip", NO_FILES),
        "load_file(file)": ("nbval-skip", NO_FILES),
        "export_adapter(new_model, kept, with_base=False)": ("nbval-skip", NO_FILES),
        "from peft import": ("nbval-skip", f"has another output where peft is installed, and {NO_FILES}"),
    },
    "04_retrieval.ipynb": {},
    "05_classifier.ipynb": {},
    "06_inside.ipynb": {},
}
# What a lesson ends with, and how many exercises with a folded solution it has at least.
ENDS = {
    ("Summary", "Exercise", "Clean up"): 1,
    ("Summary", "Exercises", "Questions", "Read on", "Clean up"): 3,
}


@pytest.fixture(params=FILES, ids=NAMES)
def notebook(request):
    return read(request.param)


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


@pytest.mark.parametrize("name", NAMES)
def test_exempted_cells_are_the_known_ones(name):
    cells = code_cells(read(FOLDER / name))
    tagged = [cell for cell in cells if tags(cell)]
    assert len(tagged) == len(EXEMPT[name])
    for words, (tag, why) in EXEMPT[name].items():
        assert [tags(cell) for cell in tagged if words in cell.source] == [[tag]], why
    assert not [cell.source for cell in cells if "NBVAL" in cell.source or "PYTEST_VALIDATE" in cell.source]


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
    for part in (r"\*\*You will (learn|be able to)\*\*", r"\| Time \| Memory \| Run before \|", "minutes", "GB"):
        assert re.search(part, text.split("\n## ")[0]), part
    headings = tuple(re.findall(r"^## (.*)$", text, re.MULTILINE))
    (end,) = (end for end in ENDS if headings[-len(end) :] == end)
    assert len(notebooks.solutions(notebook)) >= ENDS[end]


def test_every_lesson_asks_the_questions_that_it_has(notebook):
    lesson = int(prose(notebook).split()[1])
    asked = re.findall(
        r'^exercises.question\("(\w+)"\)$', "\n".join(cell.source for cell in code_cells(notebook)), re.MULTILINE
    )
    assert asked == [name for name, question in QUESTIONS.items() if question.lesson == lesson]


def test_a_copy_elsewhere_passes_in_reverse_order_and_twice_in_a_row(nbval_runs):
    result = nbval_runs.result("reversed")
    assert result.returncode == 0, result.stdout[-3000:]


@pytest.mark.parametrize("place", ["beside it", "elsewhere"])
def test_a_lesson_can_be_tested_from_any_folder(tmp_path, place):
    """By the first two cells of a lesson: the doctor's, and one whose output names a port that is left out."""
    folder, lesson = {
        "beside it": (FOLDER, NAMES[0]),
        "elsewhere": (tmp_path, FOLDER / NAMES[0]),
    }[place]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"{lesson}::Cell 0", f"{lesson}::Cell 1"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "2 passed" in done.stdout


def test_the_second_lesson_passes_alone(nbval_runs):
    result = nbval_runs.result("second alone")
    assert result.returncode == 0, result.stdout[-3000:]
    assert re.search(r"\d+ passed", result.stdout)


@pytest.mark.parametrize("name", NAMES[1:])
def test_every_changed_output_turns_its_cell_red_and_no_other(nbval_runs, name):
    changed = set()
    for position, cell in enumerate(code_cells(read(FOLDER / name))):
        swaps = [swap(output, old, new) for output in cell.outputs for old, new in CHANGES.values()]
        if any(swaps) and "nbval-skip" not in tags(cell):
            changed.add(position)
    assert len(changed) >= 3
    result = nbval_runs.result(f"changed {name}")
    failed = {int(number) for number in re.findall(r"^FAILED .*::Cell (\d+)", result.stdout, re.MULTILINE)}
    assert failed == changed, result.stdout[-3000:]


def test_an_unrecorded_request_is_refused_with_the_command_that_records(nbval_runs):
    result = nbval_runs.result("never recorded")
    assert result.returncode == 1
    assert "python -m tests.stub.record" in result.stdout
