"""Fixtures of the browser tests: Chromium, JupyterLab on a copy of the notebooks, and the stub behind it.

They need a browser and Playwright. Without, they are skipped with a sentence; where CI is set, that is a failure.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import nbformat
import pytest

from tests.browser.lab import Lab, NotebookPage, browser_path, launch
from tests.stub.plugin import TOKEN, environment
from tests.stub.recorded_engine import RecordedEngine, load_recordings
from tests.stub.server import ThreadedServer
from tests.support.notebooks import FOLDER, NOT_RUN, clear, read, tags

HOW_TO_GET_ONE = (
    "The browser tests need Chromium or Chrome and Playwright: `pip install playwright==1.65.2`, and the package "
    "`chromium` of your system (on Debian and Ubuntu `apt-get install chromium`)."
)


class UnhurriedEngine(RecordedEngine):
    """The stub's engine, which counts fine-tunes and takes as long over each as a test wants."""

    tunings = 0
    tune_seconds = 0.0

    def fine_tune(self, *arguments):
        self.tunings += 1
        time.sleep(self.tune_seconds)
        return super().fine_tune(*arguments)


class Stub:
    """The stub server behind the notebooks, which a test may stop."""

    def __init__(self, data: Path) -> None:
        recorded = load_recordings()
        self.engine = UnhurriedEngine(recorded.recordings, recorded.weights_name)
        self.server = ThreadedServer(self.engine, data, TOKEN).start()
        self.environment = {**os.environ, **environment(self.server.url, data)}


@pytest.fixture(scope="session")
def browser() -> Iterator:
    try:
        from playwright.sync_api import sync_playwright
    except ModuleNotFoundError:
        _missing()
    if browser_path() is None:
        _missing()
    with sync_playwright() as playwright:
        running = launch(playwright)
        yield running
        running.close()


def _missing() -> None:
    """Skips, or fails where CI is set."""
    (pytest.fail if os.environ.get("CI") else pytest.skip)(HOW_TO_GET_ONE)


@pytest.fixture(scope="session")
def start_lab(browser, tmp_path_factory) -> Iterator[Callable[[dict[str, str]], Lab]]:
    """Starts JupyterLab on a fresh copy of the notebooks, for kernels with a given environment."""
    started: list[Lab] = []

    def start(environment: dict[str, str]) -> Lab:
        folder = tmp_path_factory.mktemp("lab") / "notebooks"
        shutil.copytree(FOLDER, folder)
        for path in folder.glob("*.ipynb"):
            _clear(path)
        started.append(Lab(folder, environment))
        return started[-1]

    yield start
    for lab in started:
        lab.stop()


def _clear(path: Path) -> None:
    """Takes the outputs out of a notebook, and the cells that nbval skips: they need more than the stub."""
    notebook = read(path)
    notebook.cells = [cell for cell in notebook.cells if NOT_RUN not in tags(cell)]
    clear(notebook)
    nbformat.write(notebook, path)


@pytest.fixture(scope="session")
def stub(tmp_path_factory) -> Iterator[Stub]:
    running = Stub(tmp_path_factory.mktemp("stub"))
    yield running
    running.server.stop()


@pytest.fixture(scope="session")
def lab(start_lab, stub) -> Lab:
    return start_lab(stub.environment)


@pytest.fixture
def page(browser) -> Iterator:
    """A page in a browser profile of its own."""
    page = browser.new_page(viewport={"width": 1300, "height": 1800})
    page.set_default_timeout(20_000)
    yield page
    page.close()


@pytest.fixture
def lesson(page, lab) -> Callable[[str], NotebookPage]:
    """Opens a lesson and runs all of it."""

    def run(name: str) -> NotebookPage:
        notebook = NotebookPage(page, lab, name)
        notebook.run_all()
        return notebook

    return run


@pytest.fixture
def cells(page, lab, request) -> Callable[..., NotebookPage]:
    """Opens a new notebook of the given cells and runs them."""

    def run(*sources: str, lab: Lab = lab) -> NotebookPage:
        name = f"{request.node.name[:60].replace('[', '-').replace(']', '')}.ipynb"
        return NotebookPage.of_cells(page, lab, name, *sources)

    return run
