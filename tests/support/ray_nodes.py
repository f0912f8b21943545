"""A Ray cluster of several nodes on this machine, any of which can be killed: the real thing, by `ray start`.

Ray comes from an environment of its own (`tests/peers/environment.py`), which finds everything else where the tests do.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from unittest.mock import patch

import psutil

from helpers.environment import LOCAL_TOKEN_VARIABLE
from tests.conftest import ROOT, TOKEN, ServiceProcess
from tests.peers import environment
from tests.support import process_tree

START_SECONDS = 60
STARTED = "Ray runtime started"
STORE_BYTES = 120_000_000
AUTHENTICATION = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}  # or Ray writes one into the home


def interpreter() -> Path:
    """The Python that has Ray.

    Raises:
        Unavailable: it can't be installed here.
    """
    return environment.python(environment.named("ray"))


def variables() -> dict[str, str]:
    """The environment variables under which that Python finds the kit and what it needs."""
    ours = [str(ROOT), *(path for path in sys.path if path.endswith("site-packages"))]
    inherited = {name: value for name, value in os.environ.items() if name != LOCAL_TOKEN_VARIABLE}
    return {**inherited, "PYTHONPATH": os.pathsep.join(ours), "RAY_USAGE_STATS_ENABLED": "0", **AUTHENTICATION}


def service(data: Path, *options: str, module: str = "helpers.service") -> ServiceProcess:
    """Starts a service that may use Ray. Its token is told by a variable, as `--ray` wants it."""
    given = {**variables(), LOCAL_TOKEN_VARIABLE: TOKEN}
    with patch.dict(os.environ, given):
        return ServiceProcess(data, *options, module=module, token=None, python=interpreter())


class Node:
    """One node: `ray start` and all that it starts. It is there when this returns: two that start at once would take
    the same names for their sockets.

    Args:
        options: of `ray start`.
        log: what it says goes there.
    """

    def __init__(self, *options: str, log: Path) -> None:
        command = [str(interpreter()), "-m", "ray.scripts.scripts", "start", "--block", "--disable-usage-stats"]
        sizes = ["--object-store-memory", str(STORE_BYTES)]
        with log.open("ab") as said:
            self._process = subprocess.Popen(
                [*command, *sizes, *options], stdout=said, stderr=said, env=variables(), start_new_session=True
            )
        deadline = time.monotonic() + START_SECONDS
        while STARTED not in (what := log.read_text(encoding="utf-8", errors="replace")):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise AssertionError(f"the node did not start: {what[-2000:]}")
            time.sleep(0.1)

    def workers(self) -> list[psutil.Process]:
        """The processes of our workers on it."""
        return [process for process in process_tree.tree(self._process.pid) if is_worker(process)]

    def kill(self) -> None:
        """Ends all of it at once, as when the power fails."""
        process_tree.kill(process_tree.tree(self._process.pid))
        self._process.wait(10)


class RayNodes:
    """A head, which does nothing else, and nodes with one processor each.

    Args:
        count: how many beside the head.
    """

    def __init__(self, count: int) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="ray-"))  # Ray's sockets need a short path
        self._started = 0
        self.address = f"127.0.0.1:{_free_port()}"
        host, _, port = self.address.partition(":")
        head = ("--head", "--port", port, "--num-cpus", "0", "--include-dashboard", "false")
        self.head = Node(*head, "--node-ip-address", host, "--temp-dir", str(self._folder / "r"), log=self._log())
        self.nodes: list[Node] = []
        try:
            for _ in range(count):
                self.nodes.append(self.add())
        except BaseException:
            self.close()
            raise

    def add(self) -> Node:
        """One node more. Ray gives a node half a minute to start, which on a busy machine is not always enough."""
        options = ("--address", self.address, "--num-cpus", "1")
        for _ in range(2):
            with contextlib.suppress(AssertionError):
                return Node(*options, log=self._log())
        return Node(*options, log=self._log())

    def _log(self) -> Path:
        self._started += 1
        return self._folder / f"node {self._started}.log"

    def close(self) -> None:
        for node in [*self.nodes, self.head]:
            node.kill()
        shutil.rmtree(self._folder, ignore_errors=True)


def is_worker(process: psutil.Process) -> bool:
    """Whether a process is one of our workers; Ray names it by its class."""
    with contextlib.suppress(psutil.Error):
        return any(part.startswith("ray::Actor") for part in process.cmdline()[:1])
    return False


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]
