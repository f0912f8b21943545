"""What the one set-up command brings: all that requirements.txt needs, and its bytes. Used by `tests/test_light.py`."""

from __future__ import annotations

import importlib.metadata
import json
import re
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.notebooks import ROOT

REQUIREMENTS = ROOT / "requirements.txt"
HEAVY = re.compile(r"((py)?torch|torchvision|torchaudio|transformers|peft|triton|nvidia|cuda)(-.*)?")
NO_NETWORK = ("after connection broken by", "Could not fetch URL")
ASK_SECONDS = 60
PIP_SECONDS = 600


class NoIndex(RuntimeError):
    """Raised when no package index answers; the message says why."""


def complaints(sizes: Mapping[str, int], most: int) -> list[str]:
    """What is wrong with a set of packages, in sentences; none if nothing is.

    Args:
        sizes: bytes by name.
        most: bytes that all may have together.
    """
    if not sizes:
        return ["No package was looked at."]
    found = [f"{name} is back." for name in sorted(sizes) if HEAVY.fullmatch(canonicalize_name(name))]
    total = sum(sizes.values())
    if total > most:
        largest = sorted(sizes, key=sizes.__getitem__, reverse=True)[:5]
        named = ", ".join(f"{name} {sizes[name] / 1e6:.0f}" for name in largest)
        found.append(f"{total / 1e6:.0f} MB where {most / 1e6:.0f} are the most; the largest: {named}.")
    return found


def needed(requirements: Iterable[str], requires: Callable[[str], Sequence[str]]) -> set[str]:
    """Names of all packages that requirements need, and those need in turn, here.

    Args:
        requirements: as in requirements.txt, without options.
        requires: what the package of a name requires, in the same form.
    """
    waiting = [Requirement(text) for text in requirements]
    found: set[tuple[str, str]] = set()
    while waiting:
        wanted = waiting.pop()
        name = canonicalize_name(wanted.name)
        for extra in {"", *wanted.extras} - {extra for known, extra in found if known == name}:
            found.add((name, extra))
            others = [Requirement(text) for text in requires(name)]
            waiting += [other for other in others if not other.marker or other.marker.evaluate({"extra": extra})]
    return {name for name, _ in found}


def written_requirements() -> list[str]:
    """The lines of requirements.txt that name a package of the index."""
    lines = [line.partition("#")[0].strip() for line in REQUIREMENTS.read_text(encoding="utf-8").splitlines()]
    return [line for line in lines if line and not line.startswith(("-", "."))]  # no options, none of our own


def installed_sizes() -> dict[str, int]:
    """Bytes on disk of all that requirements.txt and the package `helpers` need, as it is installed here."""
    own = importlib.metadata.requires("gradient-notebook-helpers") or []
    names = needed([*written_requirements(), *own], lambda name: importlib.metadata.requires(name) or [])
    return {name: _bytes(importlib.metadata.distribution(name)) for name in sorted(names)}


def _bytes(distribution: importlib.metadata.Distribution) -> int:
    paths = [Path(file.locate()) for file in distribution.files or []]
    return sum(path.stat().st_size for path in paths if path.is_file())


def download_sizes() -> dict[str, int]:
    """Bytes of what pip would download for requirements.txt in a fresh environment of this Python.

    Raises:
        NoIndex: as for `_pip`.
    """
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        _pip("install", "--dry-run", "--ignore-installed", "--report", str(report), "-r", str(REQUIREMENTS))
        chosen = json.loads(report.read_text(encoding="utf-8"))["install"]
    from_index = [one for one in chosen if "dir_info" not in one["download_info"]]
    with ThreadPoolExecutor(8) as pool:
        sizes = pool.map(_download_bytes, [one["download_info"]["url"] for one in from_index])
        return dict(zip([one["metadata"]["name"] for one in from_index], sizes, strict=True))


def _download_bytes(url: str) -> int:
    """What the address says, or else what pip gets from there: pip may know certificates and proxies that we don't."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=ASK_SECONDS) as answer:
            return int(answer.headers["Content-Length"])
    except (urllib.error.URLError, TypeError):
        with tempfile.TemporaryDirectory() as folder:
            _pip("download", "--no-deps", "--dest", folder, url)
            return sum(path.stat().st_size for path in Path(folder).iterdir())


def _pip(*arguments: str) -> None:
    """Runs pip in the repository's folder.

    Raises:
        NoIndex: it could not reach an index.
        RuntimeError: it failed otherwise.
    """
    command = [sys.executable, "-m", "pip", "--quiet", "--retries", "1", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PIP_SECONDS)
    if done.returncode == 0:
        return
    lines = [line.strip(" │") for line in done.stderr.splitlines()]  # those of a build are indented
    reason = ([line for line in lines if line.startswith("ERROR")] or ["pip failed"])[-1]
    if any(sign in done.stderr for sign in NO_NETWORK):
        raise NoIndex(f"No package index answers here, so that nothing can be said of downloads ({reason}).")
    raise RuntimeError(f"pip {arguments[0]} failed: {reason}")
