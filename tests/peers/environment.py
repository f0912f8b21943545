"""The environment of other people's software, with the pins of requirements.txt beside this file: made once, then kept.

Called by the tests in this folder and by `python -m tests.bench`, for the benchmarks that have a peer. It lies in the
cache folder, so that a fresh checkout finds it; other pins, or another Python, make another one.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import venv
from functools import cache
from pathlib import Path

import filelock

from helpers.service import paths

REQUIREMENTS = Path(__file__).parent / "requirements.txt"
INSTALL_SECONDS = 900
DONE = "installed"
ASK_VERSIONS = """
import importlib.metadata, json, sys
print(json.dumps({name: importlib.metadata.version(name) for name in sys.argv[1:]}))
"""


class Unavailable(RuntimeError):
    """Raised when the environment can't be made, which takes a network with a package index; the message says why."""


@cache  # a test may set another cache folder for itself, and needs no environment of its own for that
def python() -> Path:
    """The environment's interpreter. The first call installs a gigabyte or more and takes minutes.

    Raises:
        Unavailable: it can't be made here.
    """
    key = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()[:8]
    home = paths.cache_dir() / f"peers-{sys.version_info[0]}.{sys.version_info[1]}-{key}"
    found = home / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    home.parent.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(f"{home}.lock", timeout=INSTALL_SECONDS):
        if not (home / DONE).exists():
            venv.create(home, with_pip=True, clear=True)
            _install(found)
            (home / DONE).touch()
    return found


def _install(interpreter: Path) -> None:
    command = [str(interpreter), "-m", "pip", "install", "--quiet", "--retries", "1", "-r", str(REQUIREMENTS)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_SECONDS)
    except subprocess.TimeoutExpired:
        raise Unavailable(f"Installing the peers took longer than {INSTALL_SECONDS // 60} minutes.") from None
    if done.returncode != 0:
        reason = ([line for line in done.stderr.splitlines() if line.startswith("ERROR")] or ["pip failed"])[-1]
        raise Unavailable(f"The peers can't be installed here ({reason}).")


def versions() -> dict[str, str]:
    """The version of each pinned package as it is installed in the environment.

    Raises:
        Unavailable: as for `python`.
    """
    names = re.findall(r"^([\w.-]+)==", REQUIREMENTS.read_text(encoding="utf-8"), re.MULTILINE)
    command = [str(python()), "-c", ASK_VERSIONS, *names]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout)


def variables() -> dict[str, str]:
    """The environment variables under which peers run: without our own code on their path, and without a download."""
    plain = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return {**plain, "HF_HUB_OFFLINE": "1"}


def run(script: Path, *arguments: object, seconds: float = 300, interpreter: str | None = None) -> str:
    """Runs a script in the environment, without our own code on its path.

    Args:
        script: the file.
        arguments: of the script.
        seconds: how long it may take.
        interpreter: the environment's, where it is known already.

    Returns:
        What it printed.

    Raises:
        Unavailable: as for `python`.
        RuntimeError: it failed; the message has the end of its errors.
    """
    command = [interpreter or str(python()), str(script), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, env=variables())
    if done.returncode != 0:
        raise RuntimeError(f"{script.name} failed: {done.stderr[-2000:]}")
    return done.stdout
