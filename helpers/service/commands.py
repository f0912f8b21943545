"""`python -m helpers.service status`, `stop`, `logs` and `reset`: looks after the service that runs on a data folder.

Called by `__main__.py`. The exit codes are the same for all: DONE, NOTHING_THERE, NOT_YET. A token is never shown.
"""

from __future__ import annotations

import json
import math
import time
from contextlib import closing
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path

from ..environment import TOLERATED_CORES
from . import launcher, overview
from .collection_store import CollectionStore
from .http import metrics
from .learners import Learners
from .logs import LOG_FILE
from .overview import Workspace
from .refusals import Failed, quoted
from .store import ADAPTERS, ADAPTERS_FILE, SET_ASIDE, Store

DONE = 0
NOTHING_THERE = 1  # no service runs, there is no log, or no such workspace (2 is for wrong arguments)
NOT_YET = 3  # status: it is still loading; stop: it has not ended in time; reset: not confirmed, or refused
FOLLOW_SECONDS = 0.3


def status(data: Path, as_json: bool = False) -> int:
    """Says where the service is, since when, and what it has to do; what each workspace has and has done; and which
    adapters were set aside, if any were.

    Args:
        data: the service's data folder.
        as_json: for programs.

    Returns:
        DONE if it is ready, NOT_YET while it loads, NOTHING_THERE if none runs.
    """
    if as_json:
        return _print_json(data)
    code = _say_status(data)
    _say_workspaces(data)
    _say_set_aside(data)
    return code


def _print_json(data: Path) -> int:
    service = launcher.find(data)
    code, health = launcher.health_of(service) if service else (None, {})
    run = {"url": service.url, "process": service.pid, **health} if service else None
    try:
        found = [asdict(workspace) for workspace in overview.workspaces(data)]
    except Failed as failure:
        print(failure.message)
        return NOTHING_THERE
    print(json.dumps({"service": run, "workspaces": found}, default=datetime.isoformat))
    return NOTHING_THERE if service is None else DONE if code == 200 else NOT_YET


def _say_workspaces(data: Path) -> None:
    """A table: workspaces by name, what they have and what they have done."""
    try:
        found = overview.workspaces(data)
    except Failed as failure:
        print(failure.message)
        return
    rows = [("workspace", "adapters", "MB", "calls", "last call", "exercises done"), *map(_row, found)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for name, *numbers, exercises in rows if found else ():
        cells = [text.rjust(width) for text, width in zip(numbers, widths[1:], strict=False)]
        print("  ".join([name.ljust(widths[0]), *cells, exercises]).rstrip())


def _row(workspace: Workspace) -> tuple[str, ...]:
    learner = workspace.learner
    lessons = ", ".join(f"lesson {one.lesson}: {one.done} of {one.there}" for one in learner.lessons)
    megabytes = f"{workspace.bytes / 1e6:.1f}"
    return workspace.name, str(workspace.adapters), megabytes, str(learner.calls), _ago(learner.last), lessons or "none"


def _ago(when: datetime | None) -> str:
    if when is None:
        return "never"
    minutes = int((datetime.now(timezone.utc) - when).total_seconds()) // 60
    if minutes < 60:
        return f"{minutes} min ago"
    return f"{minutes // 60} h ago" if minutes < 48 * 60 else f"{minutes // 1440} days ago"


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


def reset(data: Path, workspace: str, yes: bool) -> int:
    """Deletes what a workspace has, having said what that is; through the service if one runs.

    Args:
        data: the service's data folder.
        workspace: its id.
        yes: don't ask.

    Returns:
        DONE, NOTHING_THERE if there is no such workspace, NOT_YET if no one confirmed it or it was refused.
    """
    try:
        found = {one.name: one for one in overview.workspaces(data)}
        if workspace not in found:
            there = f"; there are {', '.join(found)}" if found else ", nor any other"
            print(f"There is no workspace {quoted(workspace)} in {data}{there}.")
            return NOTHING_THERE
        _say_what_is_deleted(found[workspace])
        if not (yes or _confirmed()):
            print("Nothing was deleted. --yes deletes without asking.")
            return NOT_YET
        _delete(data, workspace)
    except (Failed, launcher.LauncherError, launcher.AlreadyRunning, OSError) as error:
        print(f"Not deleted, or not all of it: {error}")
        return NOT_YET
    print(f"Workspace {workspace} is empty.")
    return DONE


def _say_what_is_deleted(workspace: Workspace) -> None:
    counts = {"adapter": workspace.adapters, "collection": workspace.collections, "uploaded file": workspace.files}
    solved = sum(one.done for one in workspace.learner.lessons)
    had = ", ".join(f"{count} {what}{'' if count == 1 else 's'}" for what, count in counts.items())
    print(
        f"Workspace {workspace.name} has {had} ({workspace.bytes / 1e6:.1f} MB in all), and the counts of "
        f"{workspace.learner.calls} calls and {solved} exercises done: all of this is deleted, for ever."
    )


def _confirmed() -> bool:
    try:
        return input("Delete it? [y/N] ").strip().lower() in ("y", "yes")
    except (EOFError, KeyboardInterrupt):
        print()
        return False


def _delete(data: Path, workspace: str) -> None:
    service = launcher.find(data)
    if service is not None:
        launcher.reset(service, workspace)
        return
    with (
        launcher.only_one(data),
        closing(Store(data)) as store,
        closing(CollectionStore(data)) as collections,
        closing(Learners(data)) as learners,
    ):
        for adapter in store.list(workspace):
            store.delete(workspace, adapter.id)
        collections.reset(workspace)
        learners.forget(workspace)


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
            f"{folders} set aside in {data / SET_ASIDE}, which {ADAPTERS_FILE} did not know when a service started. "
            "Take from there what you need, each version is a PEFT folder, and delete the rest; or put a copy of "
            f"{ADAPTERS_FILE} that knows them back, and the folders into {data / ADAPTERS}."
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
