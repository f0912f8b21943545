"""JupyterLab and a browser for tests: a server of its own settings, and a notebook opened, run and clicked in Chromium.

Used by `conftest.py`, the tests and `pictures.py` in this folder. Playwright's own browsers are not needed: Chromium or
Chrome as the system has it.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import nbformat

from tests.support.notebooks import FILES, ROOT, read

try:
    from playwright.sync_api import expect
except ModuleNotFoundError:
    expect = None  # then the fixture `browser` skips every test that would use it

__all__ = [
    "Lab",
    "NotebookPage",
    "alert",
    "browser_path",
    "choose_file",
    "expect",
    "field",
    "launch",
    "press",
    "status",
    "type_number",
    "write_settings",
]

ARTIFACTS = ROOT / ".artifacts"
START_SECONDS = 60
RUN_SECONDS = 20
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = [
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
SETTINGS = {
    "@jupyterlab/apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    "@jupyterlab/notebook-extension/tracker": {"windowingMode": "none"},  # else cells out of sight are not on the page
    "@jupyterlab/docmanager-extension/plugin": {"autosave": False},
    "@jupyter-widgets/jupyterlab-manager/plugin": {"saveState": True},  # the strictest case for secrets
}


def browser_path() -> str | None:
    """The installed browser, or None."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


def is_root() -> bool:
    """Whether this is root, as containers run; Chromium refuses its sandbox to root, and Jupyter its start."""
    return hasattr(os, "geteuid") and os.geteuid() == 0


def launch(playwright):
    """Starts the installed browser."""
    flags = [*FLAGS, *(["--no-sandbox"] if is_root() else [])]
    return playwright.chromium.launch(executable_path=browser_path(), args=flags)


def write_settings(folder: Path) -> None:
    """JupyterLab's own settings, where it looks for those of its user."""
    for name, values in SETTINGS.items():
        path = folder / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values), encoding="utf-8")


class Lab:
    """A JupyterLab server on a folder.

    Args:
        folder: where the notebooks are; its settings and its log go beside it.
        environment: what the kernels find in theirs.
    """

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder = folder
        self._token = secrets.token_urlsafe(16)
        own = folder.parent / "jupyter"
        write_settings(own / "settings")
        folders = {"JUPYTERLAB_SETTINGS_DIR": "settings", "JUPYTERLAB_WORKSPACES_DIR": "workspaces"}
        folders |= {"JUPYTER_CONFIG_DIR": "config", "JUPYTER_DATA_DIR": "data", "JUPYTER_RUNTIME_DIR": "runtime"}
        environment = {**environment, **{name: str(own / value) for name, value in folders.items()}}
        self._log = own / "lab.log"
        command = [sys.executable, "-m", "jupyter", "lab", str(folder), "--no-browser", "--allow-root", "--port=0"]
        command += [
            "--ServerApp.port_retries=0",
            "--LabApp.expose_app_in_browser=True",
            f"--IdentityProvider.token={self._token}",
        ]
        with self._log.open("w") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=environment)
        self.url = self._wait_for_url(own / "runtime")

    def address(self, name: str) -> str:
        """Where a notebook is opened, in a workspace of its own."""
        return f"{self.url}lab/workspaces/w{secrets.token_hex(4)}/tree/{name}?token={self._token}"

    def stop(self) -> None:
        """Ends the server and its kernels."""
        self._process.terminate()
        try:
            self._process.wait(15)
        except subprocess.TimeoutExpired:
            self._process.kill()

    def _wait_for_url(self, runtime: Path) -> str:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            for found in runtime.glob("jpserver-*.json"):
                url = json.loads(found.read_text(encoding="utf-8"))["url"]
                with urllib.request.urlopen(f"{url}api", timeout=START_SECONDS):
                    return url
            time.sleep(0.1)
        raise AssertionError(f"JupyterLab did not start: {self._log.read_text()[-2000:]}")


class NotebookPage:
    """A notebook that is open in the browser.

    Args:
        page: Playwright's page.
        lab: the server.
        name: the notebook's file, in the server's folder.
    """

    def __init__(self, page, lab: Lab, name: str) -> None:
        self.page = page
        self.path = lab.folder / name
        page.goto(lab.address(name))
        page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=START_SECONDS * 1000)
        self._wait_for_kernel()

    @classmethod
    def of_cells(cls, page, lab: Lab, name: str, *sources: str, seconds: float = RUN_SECONDS) -> NotebookPage:
        """Opens a new notebook of the given code cells and runs them."""
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
        notebook.metadata = read(FILES[0]).metadata  # names the kernel, so that no one is asked to choose one
        nbformat.write(notebook, lab.folder / name)
        opened = cls(page, lab, name)
        opened.run_all(seconds)
        return opened

    def run_all(self, seconds: float = RUN_SECONDS) -> None:
        """Runs all cells and waits until the last one has run."""
        self.start_all()
        self.wait_for_all(seconds)

    def start_all(self) -> None:
        """Starts all cells."""
        self._command("notebook:run-all-cells")

    def wait_for_all(self, seconds: float = RUN_SECONDS) -> None:
        """Waits until the last cell has run; each of the cells must have succeeded."""
        self._until(self.ended, seconds, "the last cell has run")
        assert not self.failed(), self._text()
        self._wait_for_kernel()

    def ended(self) -> bool:
        """Whether the last cell has run, or one has failed."""
        last = self.page.locator(".jp-CodeCell").last.locator(".jp-InputPrompt")
        return self.failed() or last.inner_text().strip("[]: ").isdigit()

    def run_cell(self, number: int) -> None:
        """Runs one code cell again; it is counted from 0."""
        before = self.prompt(number)
        self.page.locator(".jp-CodeCell").nth(number).locator(".jp-InputArea-editor").click()
        self.page.keyboard.press("Control+Enter")
        self._until(lambda: self.prompt(number) not in (before, "*"), 30, "the cell has run")

    def prompt(self, number: int) -> str:
        """What stands before a code cell: its execution count, or *."""
        return self.page.locator(".jp-CodeCell").nth(number).locator(".jp-InputPrompt").inner_text().strip("[]: ")

    def form(self, nth: int = 0):
        """The nth form on the page."""
        return self.page.locator(".jp-OutputArea-output > .gradient-form, .jupyter-widgets-view > .gradient-form").nth(
            nth
        )

    def failed(self) -> bool:
        """Whether a cell ended in an exception."""
        return self.page.locator('[data-mime-type="application/vnd.jupyter.error"]').count() > 0

    def save(self) -> str:
        """Saves the notebook, with the state of its widgets, and returns the file."""
        before = self.path.stat().st_mtime_ns
        self._command("docmanager:save")
        self._until(lambda: self.path.stat().st_mtime_ns != before, 20, "the notebook is saved")
        return self.path.read_text(encoding="utf-8")

    def dark(self) -> None:
        """Switches to JupyterLab's dark theme."""
        self._command("apputils:change-theme", theme="JupyterLab Dark")
        is_dark = "() => document.body.dataset.jpThemeLight === 'false'"
        self._until(lambda: self.page.evaluate(is_dark), 20, "the theme is dark")

    @staticmethod
    def screenshot(what, name: str) -> Path:
        """Keeps a picture of a form, or of the page, outside git."""
        ARTIFACTS.mkdir(exist_ok=True)
        path = ARTIFACTS / f"{name}.png"
        what.screenshot(path=path)
        return path

    def _command(self, name: str, **arguments: str) -> None:
        """Starts one of JupyterLab's commands, which its menus start too."""
        self.page.evaluate("([name, given]) => { window.jupyterapp.commands.execute(name, given); }", [name, arguments])

    def _wait_for_kernel(self) -> None:
        idle = """() => {
            const context = window.jupyterapp?.shell.currentWidget?.sessionContext, kernel = context?.session?.kernel;
            return Boolean(context?.isReady && kernel?.connectionStatus === "connected" && kernel.status === "idle");
        }"""
        self._until(lambda: self.page.evaluate(idle), 60, "the kernel is idle")

    def _until(self, happened, seconds: float, what: str) -> None:
        deadline = time.monotonic() + seconds
        while not happened():
            if time.monotonic() > deadline:
                picture = self.screenshot(self.page, "failed")
                raise AssertionError(f"{what}: not within {seconds:.0f} s, see {picture}. It says: {self._text()}")
            self.page.wait_for_timeout(100)

    def _text(self) -> str:
        return self.page.locator(".jp-Notebook").inner_text()[-2000:]


def press(form, name: str) -> None:
    """Clicks the form's button of this name."""
    form.get_by_role("button", name=name, exact=True).first.click()


def field(form, label: str):
    """The form's field of this label."""
    return form.get_by_label(label, exact=True)


def type_number(form, label: str, number: str) -> None:
    """Types as a person does: a number field sends what it holds when it is left."""
    field(form, label).click(click_count=3)
    form.page.keyboard.type(number)
    form.page.keyboard.press("Tab")


def choose_file(form, path) -> None:
    """Gives a file to the form's upload button."""
    with form.page.expect_file_chooser() as chooser:
        form.locator(".widget-upload").click()
    chooser.value.set_files(path)


def status(form):
    """The form's own line about its last work: the last on the form, after those of the parts in it."""
    return form.locator('[role="status"], [role="alert"]').last


def alert(form):
    """What the form says is wrong."""
    return form.get_by_role("alert")
