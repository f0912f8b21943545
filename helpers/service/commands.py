"""`python -m helpers.service status`, `stop` and `logs`: looks after the service that runs on a data folder.

Called by `__main__.py`. The exit codes are the same for all: DONE, NOTHING_THERE, NOT_YET. A token is never shown.
"""

from __future__ import annotations

import math
import time
from pathlib import Path

from ..environment import TOLERATED_CORES
from . import launcher
from .http import metrics
from .logs import LOG_FILE
from .store import SET_ASIDE

DONE = 0
NOTHING_THERE = 1  # no service runs, or there is no log
NOT_YET = 3  # status: it is still loading; stop: it has not ended in time (2 is for wrong arguments)
FOLLOW_SECONDS = 0.3


def status(data: Path) -> int:
    """Says where the service is, since when, and what it has to do; and which adapters were set aside, if any were.

    Args:
        data: the service's data folder.

    Returns:
        DONE if it is ready, NOT_YET while it loads, NOTHING_THERE if none runs.
    """
    code = _say_status(data)
    _say_set_aside(data)
    return code


def _say_status(data: Path) -> int:
    service = launcher.find(data)
    if service is None:
        return _nothing_runs(data)
    code, health = launcher.health_of(service)
    if code != 200:
        print(f"Gradient service at {service.url} (process {service.pid}) is not ready: {health.get('doing')}.")
        return NOT_YET
    run = f"process {service.pid}, version {health.get('version', 'older than 1.0.0')}"
    print(f"Gradient service ready at {service.url} ({run}){_figures(launcher.metrics_of(service))}.")
    if health.get("doing"):
        print(f"{health['doing']}: {health['progress']:.0%} done.")
    if service.others:
        print(f"Other machines reach it at {' or '.join(service.others)}.")
    return DONE


def stop(data: Path) -> int:
    """Ends the service; what it has answered is on disk.

    Args:
        data: the service's data folder.

    Returns:
        DONE, NOTHING_THERE if none runs, NOT_YET if it did not end in time.
    """
    try:
        running = launcher.stop(data)
    except (launcher.LauncherError, OSError) as error:
        print(f"Gradient service not ended: {error}")
        return NOT_YET
    if not running:
        return _nothing_runs(data)
    print("Gradient service ended; its adapters are kept.")
    return DONE


def logs(data: Path, lines: int, follow: bool) -> int:
    """Prints the end of the log.

    Args:
        data: the service's data folder.
        lines: how many lines.
        follow: go on with what is added, until Ctrl-C.

    Returns:
        DONE, or NOTHING_THERE if there is no log.
    """
    path = data / LOG_FILE
    if not path.exists():
        print(f"There is no log: no Gradient service has run on {data}.")
        return NOTHING_THERE
    text = path.read_bytes()
    print("\n".join(text.decode("ascii", "replace").splitlines()[-lines:] if lines > 0 else []), flush=True)
    try:
        if follow:
            _follow(path, len(text))
    except KeyboardInterrupt:
        pass
    return DONE


def _follow(path: Path, seen: int) -> None:
    """Prints what is added to the log. It is opened anew each time: on Windows an open file can't be renamed, and the
    service renames it when it is full."""
    while True:
        time.sleep(FOLLOW_SECONDS)
        try:
            with path.open("rb") as file:
                file.seek(seen if path.stat().st_size >= seen else 0)
                new = file.read()
                seen = file.tell()
        except (FileNotFoundError, PermissionError):  # just renamed, or on Windows being renamed
            continue
        print(new.decode("ascii", "replace"), end="", flush=True)


def _say_set_aside(data: Path) -> None:
    count = len(list((data / SET_ASIDE).glob("*/*")))
    if count:
        folders = "1 adapter folder is" if count == 1 else f"{count} adapter folders are"
        print(
            f"{folders} set aside in {data / SET_ASIDE}, which adapters.sqlite3 did not know when a service started. "
            "Take from there what you need, each version is a PEFT folder, and delete the rest; or put a copy of "
            f"adapters.sqlite3 that knows them back, and the folders into {data / 'adapters'}."
        )


def _nothing_runs(data: Path) -> int:
    print(f"No Gradient service runs on {data}.")
    return NOTHING_THERE


def _figures(text: str) -> str:
    """What /metrics says, for people."""
    found = metrics.read(text)
    if metrics.STARTED not in found:
        return ""
    minutes = int(time.time() - found[metrics.STARTED]) // 60
    said = [
        f": up {minutes // 60} h {minutes % 60} min",
        f"adapters {found[metrics.ADAPTERS]:.0f}",
        f"requests running {found[metrics.RUNNING]:.0f} and waiting {found[metrics.WAITING]:.0f}",
    ]
    said += _of_the_machine(found)
    if metrics.MEMORY in found:
        said.append(f"memory {found[metrics.MEMORY] / 1e6:.0f} MB, the tuners' not counted")
    return ", ".join(said)


def _of_the_machine(found: dict[str, float]) -> list[str]:
    """How many threads compute, and what other programs use if that is enough to slow answers down."""
    threads, others = found.get(metrics.THREADS, math.nan), found.get(metrics.OTHERS, math.nan)
    if math.isnan(threads):
        return []
    workers = found.get(metrics.WORKERS, math.nan)
    said = [] if math.isnan(workers) else [f"workers {workers:.0f}"]
    said.append(f"threads {threads:.0f} on {found[metrics.CORES]:.0f} cores")
    if metrics.TUNES in found:  # earlier versions had one tuner
        said.append(f"fine-tunes at once {found[metrics.TUNES]:.0f} ({found[metrics.TUNERS]:.0f} tuners there)")
    if others > TOLERATED_CORES:
        said.append(f"other programs use {others:.1f} cores, so answers and fine-tunes take longer")
    return said
