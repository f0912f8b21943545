"""The command that records: which lessons it takes, and what it says of them."""

from __future__ import annotations

import nbformat

from tests.stub.kernels import tidy
from tests.stub.record import BEGAN, ENDED, longest_wait, notebook_files
from tests.support.notebooks import NAMES


def test_lessons_are_chosen_by_how_their_names_begin():
    assert [file.name for file in notebook_files(["06", NAMES[2]])] == [NAMES[2], NAMES[5]]
    assert [file.name for file in notebook_files()] == NAMES


def test_the_longest_wait_is_that_of_one_cell():
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1") for _ in range(3)])
    for cell, end in zip(notebook.cells, ("00:00:02", "00:00:09.5"), strict=False):
        cell.metadata["execution"] = {BEGAN: "2026-01-01T00:00:01Z", ENDED: f"2026-01-01T{end}Z"}
    assert longest_wait(notebook) == 8.5


def test_a_page_keeps_no_live_form_and_another_widget_as_it_is():
    live = {"application/vnd.jupyter.widget-view+json": {"model_id": "1"}, "text/plain": "a form"}
    outputs = [nbformat.v4.new_output("display_data", data=data) for data in ({**live, "text/html": "a picture"}, live)]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1", outputs=outputs)])
    pictured, plain = tidy(notebook).cells[0].outputs
    assert set(pictured.data) == {"text/plain", "text/html"}
    assert set(plain.data) == set(live)
