"""Runs the service's HTTP application with any engine, in a thread: for the stub server and for unit tests."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

from helpers.service import launcher
from helpers.service.calls import Calls, Limits
from helpers.service.engine import Engine
from helpers.service.http.app import create_app
from helpers.service.http.serve import http_server, listen
from helpers.service.http.status import Status
from helpers.service.store import Store


class ThreadedServer:
    """The service's own routes, calls and store around a given engine.

    Args:
        engine: what answers.
        data: folder for adapters.
        token: the access token to insist on, or None.
        any_host: take calls under any name, as a service that others reach does.
    """

    def __init__(self, engine: Engine, data: Path, token: str | None = None, any_host: bool = False) -> None:
        self.status = Status()
        self.status.calls = Calls(engine, Store(data))
        self._socket = listen("127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}/api"
        self.address = launcher.Service(self.url, token or "", os.getpid(), self.status.instance)
        self._server = http_server(create_app(self.status, token, any_host=any_host))
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],), daemon=True)

    def use(self, engine: Engine, data: Path, limits: Limits | None = None) -> None:
        """Goes on with another engine and data folder; what ran on the old ones has to have ended."""
        self.status.calls.close()
        self.status.calls = Calls(engine, Store(data), limits)

    def write_address(self, data: Path) -> None:
        """Says in a data folder where it is, as a service does that runs on it."""
        launcher.write_address(data, self.address)

    def start(self) -> ThreadedServer:
        """Starts serving; returns when calls are answered."""
        self._thread.start()
        deadline = time.monotonic() + 10
        while not self._server.started:
            assert time.monotonic() < deadline, "the test server did not start within 10 seconds"
            time.sleep(0.01)
        return self

    def stop(self) -> None:
        """Stops serving and frees the engine."""
        self._server.should_exit = True
        self._thread.join(10)
        self.status.calls.close()
        self._socket.close()
