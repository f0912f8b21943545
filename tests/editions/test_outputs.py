"""The outputs of an edition are made from recorded answers, and from nothing else."""

from __future__ import annotations

import nbformat
import pytest

from tests.support.notebooks import NOT_RUN, read

from . import outputs

START = (
    'from helpers import connect, exercises, language\n\nlanguage.use("es")\n'
    'base = connect(quiet=True).get_base_model(base_model_slug="nous-hermes2")'
)


def lesson(path, *sources):
    """A notebook whose last cell the stub can't answer, as one that needs an adapter's files."""
    made = nbformat.v4.new_notebook()
    made.cells = [nbformat.v4.new_code_cell(source) for source in (START, *sources, "1 / 0")]
    made.cells[-1].metadata.tags = [NOT_RUN]
    made.cells[-1].outputs = [nbformat.v4.new_output("stream", text="as it was")]
    nbformat.write(made, path)
    return path


def test_the_model_says_what_was_recorded_and_the_helpers_speak_the_language(tmp_path):
    path = lesson(tmp_path / "es.ipynb", 'exercises.check("finish", {"max_generated_token_count": 4}, base)')
    outputs.write([path])
    cells = read(path).cells
    assert cells[1].outputs[0].text.startswith("Todavía no: se cortó después de 4 tokens, en ' dogs, cats,'.")
    assert cells[2].outputs[0].text == "as it was"
    assert [cell.execution_count for cell in cells] == [1, 2, 3]


def test_a_request_that_was_not_recorded_ends_it_even_in_an_exercise(tmp_path):
    """An exercise takes the refusal for a wrong answer, and its cell does not fail."""
    path = lesson(tmp_path / "es.ipynb", 'exercises.check("sure", "no one has asked", "this of it before", base)')
    before = path.read_bytes()
    with pytest.raises(outputs.NotRecorded, match=r"es\.ipynb, cell .*python -m tests\.stub\.record"):
        outputs.write([path])
    assert path.read_bytes() == before
