"""pytest plugin: before any test, a stub server is up and the three GRADIENT_* variables point at it.

Loaded by `helpers.pytest_plugin`, which `.pytest.ini` names, because hooks in a conftest of `tests/` do not reach the
notebooks' items. The notebooks' kernels inherit the environment; the unit tests clear it.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from tests.stub.recorded_engine import load_recordings
from tests.stub.server import ThreadedServer

TOKEN = "the-stub-takes-this-token"
WORKSPACE = "local_workspace"  # as connect() uses it, so that outputs are the same as with the local service
_running: list[ThreadedServer] = []


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


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Starts the stub and points this process and its children at it."""
    folder = tempfile.TemporaryDirectory(prefix="gradient-stub-", ignore_cleanup_errors=True)
    session.config.add_cleanup(folder.cleanup)
    data = Path(folder.name)
    _running.append(ThreadedServer(load_recordings(), data, TOKEN).start())
    os.environ.update(environment(_running[0].url, data))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Ends the stub."""
    while _running:
        _running.pop().stop()
