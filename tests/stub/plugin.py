"""pytest plugin: before any test, a stub server is up and the three GRADIENT_* variables point at it.

Loaded by `helpers.pytest_plugin`, which `.pytest.ini` names, because hooks in a conftest of `tests/` do not reach the
notebooks' items. The notebooks' kernels inherit the environment; the unit tests clear it. What records, runs editions
or takes pictures serves its own engine in the same way.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from helpers.service.engine import Engine
from tests.stub.recorded_engine import load_recordings
from tests.stub.server import ThreadedServer

TOKEN = "the-stub-takes-this-token"
WORKSPACE = "local_workspace"  # as connect() uses it, so that outputs are the same as with the local service


def environment(url: str, data: Path) -> dict[str, str]:
    """The variables under which a notebook finds a server, and nothing of its user's."""
    return {
        "GRADIENT_API_URL": url,
        "GRADIENT_ACCESS_TOKEN": TOKEN,
        "GRADIENT_WORKSPACE_ID": WORKSPACE,
        "GRADIENT_LOCAL_DATA_DIR": str(data),
        "GRADIENT_CREDENTIALS_FILE": str(data / "credentials.json"),
        "GRADIENT_LANGUAGE": "en",  # a lesson in another language says so in its first cell
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "TQDM_DISABLE": "1",  # bars show seconds, which never repeat
    }


@contextmanager
def serving(engine: Engine) -> Iterator[None]:
    """Serves an engine, on a folder of its own, to this process and its children; then all is as before."""
    before = dict(os.environ)
    with tempfile.TemporaryDirectory(prefix="gradient-stub-", ignore_cleanup_errors=True) as folder:
        server = ThreadedServer(engine, Path(folder), TOKEN).start()
        os.environ.update(environment(server.url, Path(folder)))
        try:
            yield
        finally:
            server.stop()
            os.environ.clear()
            os.environ.update(before)


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Starts the stub, which ends with the session."""
    running = ExitStack()
    session.config.add_cleanup(running.close)
    running.enter_context(serving(load_recordings()))
