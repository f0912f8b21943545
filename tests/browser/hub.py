"""A JupyterHub for tests, on the repo's own configuration, and learners who log in to it.

Used by `test_hub.py`. JupyterHub and its proxy come from environments in the cache folder, all else from the kit's own.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import nbformat

from helpers.environment import DATA_DIR_VARIABLE
from helpers.service import launcher
from tests.browser.lab import NotebookPage, is_root, write_settings
from tests.peers import environment
from tests.support.notebooks import ROOT, clear, code_cells, read

CONFIGURATION = ".jupyterhub/jupyterhub_config.py"
PASSWORD = secrets.token_urlsafe(12)
START_SECONDS = 300  # the first start downloads the model
LOGIN_SECONDS = 120
STOP_SECONDS = 30


class Hub:
    """A hub that runs, with its service.

    Args:
        folder: for all that it keeps, and its log.

    Raises:
        environment.Unavailable: JupyterHub or its proxy can't be installed here.
    """

    def __init__(self, folder: Path) -> None:
        python = environment.python(environment.named("jupyterhub"))
        _, modules = environment.node(environment.HERE / "environments" / "jupyterhub.json")
        self.state = folder / "data" / "hub"
        public, proxy, hub, service = _free_ports(4)
        self.url = f"http://127.0.0.1:{public}"
        given = {
            DATA_DIR_VARIABLE: str(folder / "data"),
            "GRADIENT_HUB_PASSWORD": PASSWORD,
            "GRADIENT_HUB_SERVICE_PORT": str(service),
            "PATH": os.pathsep.join([str(modules / ".bin"), os.environ["PATH"]]),
            "PYTHONPATH": os.pathsep.join([str(ROOT), *map(str, python.parents[1].glob("lib/python*/site-packages"))]),
        }
        self._environment = {**os.environ, **given}
        self._command = [sys.executable, "-m", "jupyterhub", "-f", CONFIGURATION, f"--port={public}", "--ip=127.0.0.1"]
        self._command += [f"--JupyterHub.hub_port={hub}", f"--ConfigurableHTTPProxy.api_url=http://127.0.0.1:{proxy}"]
        as_root = ["--allow-root"] if is_root() else []
        self._command += [f"--Spawner.args={['--LabApp.expose_app_in_browser=True', *as_root]}"]
        self._log = folder / "hub.log"
        self.start()

    def start(self) -> None:
        """Starts it, and waits until it and its service are ready."""
        with self._log.open("a", encoding="utf-8") as log:
            self._process = subprocess.Popen(
                self._command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT, env=self._environment
            )
        self._wait_until_ready()

    def service(self) -> launcher.Service | None:
        """The hub's Gradient service, if it runs and is ready."""
        found = launcher.find(self.state / "service")
        return found if found and launcher.health_of(found)[0] == 200 else None

    def log(self) -> str:
        """All that the hub, its proxy, its service and the learners' servers have said."""
        return self._log.read_text(encoding="utf-8")

    def kill(self) -> None:
        """Ends the hub alone, as a crash does; what it has started goes on."""
        self._process.kill()
        self._process.wait(STOP_SECONDS)

    def stop(self) -> None:
        """Ends the hub, which ends all that it has started."""
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{self.url}/hub/login", timeout=5):
                if self.service() is not None:
                    return
            time.sleep(0.3)
        self.stop()
        raise AssertionError(f"The hub did not start: {self.log()[-3000:]}")


class Learner:
    """Somebody in the room, with a browser profile of their own. It has what `NotebookPage` wants of a `Lab`.

    Args:
        hub: the room's.
        browser: Playwright's.
        name: to log in with.
    """

    def __init__(self, hub: Hub, browser, name: str) -> None:
        self.name = name
        self.folder = hub.state / "homes" / name / "lessons"
        self._hub = hub
        write_settings(self.folder.parent / ".jupyter" / "lab" / "user-settings")
        self.page = browser.new_page(viewport={"width": 1300, "height": 1000})
        self.page.set_default_timeout(LOGIN_SECONDS * 1000)

    def address(self, name: str) -> str:
        """Where a notebook is opened."""
        return f"{self._hub.url}/user/{self.name}/lab/workspaces/w{secrets.token_hex(4)}/tree/{name}"

    def log_in(self, password: str = PASSWORD) -> None:
        """Sends the form of the hub's first page."""
        self.page.goto(f"{self._hub.url}/hub/login")
        self.page.fill("#username_input", self.name)
        self.page.fill("#password_input", password)
        self.page.click("#login_submit")

    def wait_for_server(self) -> None:
        """Waits until JupyterLab is there."""
        self.page.wait_for_url(f"**/user/{self.name}/lab**")
        self.page.wait_for_selector(".jp-LabShell")

    def opened(self, name: str) -> NotebookPage:
        """A lesson without its outputs."""
        notebook = read(self.folder / name)
        clear(notebook)
        nbformat.write(notebook, self.folder / name)
        return NotebookPage(self.page, self, name)

    def ran(self, name: str, *sources: str) -> list[str]:
        """What the cells of a new notebook printed."""
        opened = NotebookPage.of_cells(self.page, self, name, *sources, seconds=LOGIN_SECONDS)
        opened.save()
        return ["".join(output.get("text", "") for output in cell.outputs) for cell in code_cells(read(opened.path))]

    def picture(self, name: str) -> None:
        """Keeps a picture of the page, outside git."""
        NotebookPage.screenshot(self.page, name)


def _free_ports(count: int) -> list[int]:
    """Ports that no one listens on; they are let go of together, so they differ."""
    with contextlib.ExitStack() as held:
        listening = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [one.getsockname()[1] for one in listening]
