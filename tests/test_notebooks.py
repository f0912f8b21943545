"""The lessons as committed: their form, and the net of nbval under them, which is proved to hold."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from helpers import exercises
from tests.lessons import BY_FILE, LESSONS
from tests.support import notebooks
from tests.support.nbval_runs import IN_OTHER_LANGUAGES, falsify
from tests.support.notebooks import EDITION_FILES, FILES, FOLDER, NAMES, code_cells, prose, read, tags

MAX_LINES = 12


@pytest.fixture(params=[*FILES, *EDITION_FILES], ids=lambda path: path.relative_to(FOLDER).as_posix())
def notebook(request):
    """Each lesson, in each language."""
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
    assert len(tagged) == len(BY_FILE[name].exempt)
    for words, (tag, why) in BY_FILE[name].exempt.items():
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


@pytest.mark.parametrize("name", NAMES)
def test_a_page_shows_every_form_as_it_can_be_shown_without_a_kernel(name):
    """A live form's number means nothing to another kernel: JupyterLab would say that there is an error."""
    makes = re.compile(r"^(forms\.\w+_form|exercises\.question)\(", re.MULTILINE)
    made = [cell for cell in code_cells(read(FOLDER / name)) if makes.search(cell.source)]
    assert made
    for cell in made:
        (data,) = [output.data for output in cell.outputs]
        assert set(data) == {"text/html", "text/plain"}, cell.source
        assert ("data:image/png" in data["text/html"]) == ("forms." in cell.source)
        assert "un this cell to" in data["text/html"]


@pytest.mark.parametrize("name", NAMES)
def test_every_lesson_has_its_frame(name):
    text = prose(read(FOLDER / name))
    for part in ("**You will be able to**", "| Time | Memory | Run before |", " to ", "minutes", "GB"):
        assert part in text.split("\n## ")[0], part
    headings = re.findall(r"^## (.*)$", text, re.MULTILINE)
    assert headings[-5:] == ["Summary", "Exercises", "Questions", "Read on", "Clean up"]
    links = re.findall(r"\]\((.*?)\)", text.split("\n## Read on\n")[1].split("\n## ")[0])
    assert 3 <= len(links) <= 5


def test_every_lesson_has_a_row_and_asks_all_exercises_and_questions_of_its_modules():
    assert [lesson.file for lesson in LESSONS] == NAMES
    for lesson, modules in zip(LESSONS, exercises.LESSONS.values(), strict=True):
        page = read(FOLDER / lesson.file)
        source = "\n".join(cell.source for cell in code_cells(page))
        assert re.findall(r'exercises\.check\("(\w+)"', source) == list(lesson.solutions)
        assert list(lesson.solutions) == [name for module in modules for name in module.EXERCISES]
        assert len(notebooks.solutions(page)) == len(lesson.solutions) >= 3
        asked = re.findall(r'^exercises\.question\("(\w+)"\)$', source, re.MULTILINE)
        assert asked == [name for module in modules for name in module.QUESTIONS]
        assert 2 <= len(asked) <= 4
    index, readme = ((folder / "README.md").read_text(encoding="utf-8") for folder in (FOLDER, notebooks.ROOT))
    assert all(f"]({name})" in index and name in readme for name in NAMES)


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


@pytest.mark.parametrize("name", [*NAMES, *IN_OTHER_LANGUAGES])
def test_every_changed_output_turns_its_cell_red_and_no_other(nbval_runs, name):
    """Every output that nbval compares is changed in one sign, so a net with a hole in it is seen."""
    cells = code_cells(read(FOLDER / name))
    changed = {place for place, cell in enumerate(cells) if falsify(cell) and not tags(cell)}
    assert len(changed) >= 3
    result = nbval_runs.result(f"changed {name}")
    failed = {int(number) for number in re.findall(r"^FAILED .*::Cell (\d+)", result.stdout, re.MULTILINE)}
    assert failed == changed, result.stdout[-3000:]


def test_an_unrecorded_request_is_refused_with_the_command_that_records(nbval_runs):
    result = nbval_runs.result("never recorded")
    assert result.returncode == 1
    assert "python -m tests.stub.record" in result.stdout
