"""Fixtures: a service with a fake engine for most tests, and one real service process for those marked `model`."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from gradientai import Gradient

from helpers import connection, sdk
from helpers.environment import (
    CACHE_DIR_VARIABLE,
    CREDENTIALS_FILE_VARIABLE,
    DATA_DIR_VARIABLE,
    LANGUAGE_VARIABLE,
    TOKEN_VARIABLE,
    URL_VARIABLE,
    WORKSPACE_VARIABLE,
)
from tests.stub.server import ThreadedServer
from tests.support.fake_engine import FakeEngine
from tests.support.nbval_runs import Runs
from tests.support.notebooks import ROOT

TOKEN = "a-token-for-tests"
WORKSPACE = "test_workspace"
START_SECONDS = 300  # the first start downloads the model


def pytest_collection_finish(session: pytest.Session) -> None:
    """Starts what takes long and is wanted late, so that it runs beside the other tests."""
    wanted = any("nbval_runs" in getattr(item, "fixturenames", ()) for item in session.items)
    if wanted and not session.config.option.collectonly:
        session.config.nbval_runs = Runs()


@pytest.fixture(scope="session")
def nbval_runs(request) -> Iterator[Runs]:
    """nbval on copies of the notebooks, started before the first test."""
    yield request.config.nbval_runs
    request.config.nbval_runs.close()


@pytest.fixture(autouse=True)
def isolated_user(request, tmp_path, monkeypatch) -> None:
    """No test reads or writes the developer's own folders or credentials; only the cache is shared, which has the model
    and the peers' environment. What a test lets connect() set is taken back."""
    if not any(map(request.node.get_closest_marker, ("model", "peers", "ray", "hub"))):
        monkeypatch.setenv(CACHE_DIR_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setenv(DATA_DIR_VARIABLE, str(tmp_path / "data"))
    monkeypatch.setenv(CREDENTIALS_FILE_VARIABLE, str(tmp_path / "credentials.json"))
    for name in (URL_VARIABLE, TOKEN_VARIABLE, WORKSPACE_VARIABLE, LANGUAGE_VARIABLE, "TQDM_DISABLE"):
        monkeypatch.setenv(name, "")  # or only what was set before would be put back
        monkeypatch.delenv(name)
    for module, names in ((connection, ("_set_by_us", "_last_seen")), (sdk, ("_moves", "_shared", "_tunings"))):
        for name in names:
            monkeypatch.setattr(module, name, {})


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture(scope="session")
def http_server(tmp_path_factory) -> Iterator[ThreadedServer]:
    running = ThreadedServer(FakeEngine(), tmp_path_factory.mktemp("data"), TOKEN).start()
    yield running
    running.stop()


@pytest.fixture
def server(http_server, engine, tmp_path) -> ThreadedServer:
    """The service's HTTP application around the test's own fake engine and data folder; it insists on TOKEN."""
    (tmp_path / "data").mkdir()
    http_server.use(engine, tmp_path / "data")
    return http_server


@pytest.fixture
def connected(server, monkeypatch) -> None:
    """The three variables as connect() sets them, for the fake service."""
    for name, value in {URL_VARIABLE: server.url, TOKEN_VARIABLE: TOKEN, WORKSPACE_VARIABLE: WORKSPACE}.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def gradient(server) -> Gradient:
    """The unmodified SDK, talking to the fake service."""
    return Gradient(host=server.url, access_token=TOKEN, workspace_id=WORKSPACE)


@pytest.fixture
def base(gradient):
    """The last of the base models, a classic one."""
    return gradient.get_base_model(base_model_slug="nous-hermes2")


class ServiceProcess:
    """`python -m helpers.service` on a free port, with its log shown when something goes wrong.

    Args:
        data: its data folder.
        options: of the command.
        module: `tests.support.fake_service` for the same program with a fake engine.
        token: the access token to give it, or None.
        python: the interpreter that runs it.
    """

    def __init__(
        self,
        data: Path,
        *options: str,
        module: str = "helpers.service",
        token: str | None = TOKEN,
        python: str | Path = sys.executable,
    ) -> None:
        self.data = data
        self._log = (data.parent / f"{data.name}.log").open("w+")
        given = [] if token is None else ["--token", token]
        command = [str(python), "-m", module, "--data-dir", str(data), *given, *options]
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        self.process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            cwd=data.parent,
            env={**os.environ, "PYTHONPATH": path},
        )
        started = time.monotonic()
        line = self.process.stdout.readline()
        self.ready_seconds = time.monotonic() - started
        assert line.startswith("Gradient service ready at "), self.log()
        self.url = line.split(" at ")[1].strip()

    def gradient(self, workspace: str = WORKSPACE) -> Gradient:
        return Gradient(host=self.url, access_token=TOKEN, workspace_id=workspace)

    def log(self) -> str:
        self._log.seek(0)
        return self._log.read()

    def stop(self) -> int:
        """Ends it as a person would and returns its exit code."""
        self.process.terminate()
        return self.process.wait(20)


@pytest.fixture(scope="session")
def start_service() -> Iterator[Callable[..., ServiceProcess]]:
    """Starts real service processes, and ends those that are left at the end of the session."""
    started: list[ServiceProcess] = []

    def start(data: Path | None = None, *options: str, **settings: str | None) -> ServiceProcess:
        folder = data or Path(tempfile.mkdtemp(prefix="gradient-test-")) / "data"
        folder.mkdir(parents=True, exist_ok=True)
        started.append(ServiceProcess(folder, *options, **settings))
        return started[-1]

    yield start
    for service in started:
        if service.process.poll() is None:
            service.process.kill()
            service.process.wait(10)


@pytest.fixture(scope="session")
def real_service(start_service) -> ServiceProcess:
    """One service with the real engine for all `model` tests."""
    return start_service()


@pytest.fixture
def real_gradient(real_service) -> Gradient:
    return real_service.gradient()


@pytest.fixture
def real_base(real_gradient):
    return real_gradient.get_base_model(base_model_slug="nous-hermes2")


def ended_cleanly(code: int) -> bool:
    """Whether an exit code is that of a service which was asked to end; Windows ends one without asking it."""
    return code == 0 or os.name == "nt"


def file_mode(path: Path) -> int:
    """Permission bits, or 0o600 on Windows, which has none of these."""
    return 0o600 if os.name == "nt" else path.stat().st_mode & 0o777
