"""The clock under cells that take long, in a real kernel."""

from __future__ import annotations

import nbformat
import pytest
from nbclient import NotebookClient

from helpers import cell_clock

START = "from helpers import cell_clock\ncell_clock.SHOWN_AFTER = 0.2\ncell_clock.start()"
LONG = "import time\ntime.sleep(1.7)"


class Listening(NotebookClient):
    """Remembers all that a cell showed, also what it replaced later."""

    def process_message(self, message, cell, cell_index):
        if message["msg_type"] in ("display_data", "update_display_data"):
            self.seen.append((cell_index, message["content"]["data"].get("text/html", "")))
        return super().process_message(message, cell, cell_index)


def shown(*cells: str) -> tuple[list[tuple[int, str]], nbformat.NotebookNode]:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in cells])
    client = Listening(notebook, timeout=60, kernel_name="python3", allow_errors=True)
    client.seen = []
    client.execute()
    return client.seen, notebook


@pytest.fixture(autouse=True)
def bars_on(monkeypatch):
    monkeypatch.setenv("TQDM_DISABLE", "0")
    monkeypatch.setenv("GRADIENT_API_URL", "")


def test_a_cell_that_takes_long_says_for_how_long_and_forgets_it_at_the_end():
    seen, notebook = shown(START, LONG, "1 + 1")
    assert {cell for cell, _ in seen} == {1}
    assert "running for 1 s" in "".join(html for _, html in seen)
    assert seen[-1] == (1, "")
    assert [output.data["text/html"] for output in notebook.cells[1].outputs] == [""]
    assert notebook.cells[2].outputs[0].data["text/plain"] == "2"


def test_a_cell_that_fails_has_no_clock_left():
    seen, _ = shown(
        START, f"try:\n    {LONG.splitlines()[0]}; time.sleep(1.4); 1 / 0\nexcept ZeroDivisionError:\n    pass"
    )
    assert seen[-1] == (1, "")


def test_a_second_start_adds_no_second_clock():
    seen, _ = shown(START, START, LONG)
    assert [html for _, html in seen].count("") == 2  # the empty beginning and the empty end of one


def test_while_a_bar_is_on_show_the_clock_says_nothing():
    """Two lines under one cell that say the same are one too many."""
    bar = "from helpers import waiting\nwith waiting('Fine-tuning'):\n    time.sleep(1.7)"
    within, _ = shown(START, f"import time\n{bar}")
    after, _ = shown(START, f"import time\n{bar}\ntime.sleep(1.2)")
    assert not any("running for" in html for _, html in within)
    assert any("running for" in html for _, html in after)


def test_no_bars_means_no_clock(monkeypatch):
    monkeypatch.setenv("TQDM_DISABLE", "1")
    assert shown(START, LONG)[0] == []


def test_outside_a_notebook_nothing_happens():
    assert cell_clock._notebook_shell() is None
    cell_clock.start()


def test_other_programs_are_named_beside_the_time(monkeypatch):
    told: list[str] = []

    class Shown:
        def update(self, html):
            told.append(html.data)

    monkeypatch.setattr("IPython.display.display", lambda *_, **__: Shown())
    monkeypatch.setattr(cell_clock, "SHOWN_AFTER", 0.01)
    monkeypatch.setattr(cell_clock.neighbours, "SLOW_SECONDS", 0.01)
    monkeypatch.setattr(cell_clock.neighbours, "sentence", lambda _: "other programs use 1.0 of 2 cores")
    clock = cell_clock.CellClock()
    clock.begin()
    clock._thread.join(1.6)
    clock.end()
    assert any("running for" in text and "other programs use 1.0 of 2 cores" in text for text in told)
    assert told[-1] == ""
