"""Environments of other people's software, each with the pins of a file in environments/: made once, then kept.

Called by the tests in this folder and by `python -m tests.bench`, for the benchmarks that have a peer. They lie in the
cache folder, so that a fresh checkout finds them; other pins, or another Python, make another one.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import venv
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import filelock

from helpers.service import paths

HERE = Path(__file__).parent
REQUIREMENTS = HERE / "requirements.txt"  # of the environment with torch, that of every call which names no other
NODE_PACKAGES = HERE / "environments" / "package.json"
INSTALL_SECONDS = 900
DONE = "installed"
ASK_VERSIONS = """
import importlib.metadata, json, sys
print(json.dumps({name: importlib.metadata.version(name) for name in sys.argv[1:]}))
"""


class Unavailable(RuntimeError):
    """Raised when an environment can't be made, which takes a network with a package index; the message says why."""


def named(name: str) -> Path:
    """The pins of a small environment, by the name of its file in environments/."""
    return HERE / "environments" / f"{name}.txt"


def python(requirements: Path = REQUIREMENTS) -> Path:
    """An environment's interpreter. The first call installs it: with torch a gigabyte or more, which takes minutes.

    Raises:
        Unavailable: it can't be made here.
    """
    return _interpreter(_home(requirements))


def node(pins: Path = NODE_PACKAGES) -> tuple[Path, Path]:
    """Node and the folder of packages; the first call installs them.

    Args:
        pins: what package.json is to npm.

    Raises:
        Unavailable: there is no Node, or they can't be installed here.
    """
    found = shutil.which("node")
    if found is None or shutil.which("npm") is None:
        raise Unavailable("There is no Node here to run what is made for it: install nodejs and npm.")
    return Path(found), _home(pins) / "node_modules"


def _home(pins: Path) -> Path:
    made = _made(pins)
    if isinstance(made, Unavailable):
        raise made
    return made


def _interpreter(home: Path) -> Path:
    return home / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


@cache  # what can't be made is tried once; and a test may set another cache folder for itself
def _made(pins: Path) -> Path | Unavailable:
    """An environment's folder, made unless it is there, or why that can't be."""
    key = hashlib.sha256(pins.read_bytes()).hexdigest()[:8]
    kind = "node" if pins.suffix == ".json" else f"{sys.version_info[0]}.{sys.version_info[1]}"
    home = paths.cache_dir() / f"peers-{kind}-{key}"
    home.parent.mkdir(parents=True, exist_ok=True)
    try:
        with filelock.FileLock(f"{home}.lock", timeout=INSTALL_SECONDS):
            if not (home / DONE).exists():
                (_install_node if pins.suffix == ".json" else _install_python)(home, pins)
                (home / DONE).touch()
    except subprocess.TimeoutExpired:
        return Unavailable(f"Installing the peers of {pins.name} took longer than {INSTALL_SECONDS // 60} minutes.")
    except subprocess.CalledProcessError as failed:
        reasons = [line for line in failed.stderr.splitlines() if re.match(r"ERROR|npm error", line)]
        return Unavailable(f"The peers of {pins.name} can't be installed here ({(reasons or ['it failed'])[-1]}).")
    return home


def _install_python(home: Path, requirements: Path) -> None:
    venv.create(home, with_pip=True, clear=True)
    _install(_interpreter(home), "-m", "pip", "install", "--quiet", "--retries", "1", "-r", requirements)


def _install_node(home: Path, packages: Path) -> None:
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir()
    shutil.copy(packages, home / "package.json")
    # LangChain's optional peers contradict each other, so npm must not look at peers at all
    quietly = ("--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts", "--legacy-peer-deps")
    _install(shutil.which("npm"), "install", *quietly, "--fetch-retries=1", "--prefix", home)


def _install(*command: object) -> None:
    given = list(map(str, command))
    subprocess.run(given, capture_output=True, text=True, check=True, timeout=INSTALL_SECONDS)


def versions() -> dict[str, str]:
    """The version of each pinned package as it is installed in the environment with torch.

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


def run(
    script: Path,
    *arguments: object,
    seconds: float = 300,
    interpreter: str | None = None,
    given: Mapping[str, str] | None = None,
) -> str:
    """Runs a script in an environment, without our own code on its path.

    Args:
        script: the file.
        arguments: of the script.
        seconds: how long it may take.
        interpreter: the environment's, if it is another than the one with torch, or is known already.
        given: environment variables over those of `variables`.

    Returns:
        What it printed.

    Raises:
        Unavailable: as for `python`.
        RuntimeError: it failed; the message has the end of its errors.
    """
    command = [interpreter or str(python()), str(script), *map(str, arguments)]
    shown = {**variables(), **(given or {})}
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, env=shown)
    if done.returncode != 0:
        raise RuntimeError(f"{script.name} failed: {done.stderr[-2000:]}")
    return done.stdout
