"""Finds, starts and stops the one local service that a user's notebooks share.

A running service says where it is in `<data>/service.json`, which only its user can read because the access token is in
it. Called by `helpers.connection`, `commands.py`, and by the service itself, to write that file.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import secrets
import signal
import ssl
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import filelock

from .. import private_file
from ..environment import LARGE_PAGES, LOCAL_TOKEN_VARIABLE
from ..language import _

ADDRESS_FILE = "service.json"
OUTPUT_FILE = "service.out"  # what a started service prints, such as why it can't start; its log is another file
IDLE_HOURS = 8
START_SECONDS = 60  # without any progress; a download may take longer as long as it moves
STOP_SECONDS = 15
ANSWER_SECONDS = 5
RESET_SECONDS = 920  # a fine-tune that runs on one of its adapters ends first
LOG_LINES = 12


class LauncherError(RuntimeError):
    """Raised when the local service can't be started; the message says why, with the end of its output."""


class AlreadyRunning(RuntimeError):
    """Raised when another service holds the data folder."""


@dataclass(frozen=True)
class Service:
    """Where a running service is.

    Attributes:
        url: its base URL, ending in /api.
        token: the access token it wants; any will do if it wants none. It is in no repr.
        pid: its process.
        instance: tells this run from others.
        others: its base URLs for other machines, if it listens for them on every address of this one.
        operator: the token of who runs it. It is in no repr.
        certificate: the file of the one that it shows, if it speaks https.
    """

    url: str
    token: str = field(repr=False)
    pid: int
    instance: str
    others: tuple[str, ...] = ()
    operator: str = field(default="", repr=False)
    certificate: str | None = None


def find(data: Path) -> Service | None:
    """The service that runs on this data folder, ready or still loading, or None."""
    try:
        known = json.loads((data / ADDRESS_FILE).read_text(encoding="utf-8"))
        more = tuple(known.get("others", ())), known.get("operator", ""), known.get("certificate")  # not in old files
        service = Service(str(known["url"]), known["token"], known["pid"], known["instance"], *more)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return service if health_of(service)[1].get("instance") == service.instance else None


def ensure(data: Path, progress: Callable[[str, float], None] = lambda what, done: None) -> Service:
    """The running service, started first if there is none, once it is ready.

    Several kernels may call this at once: one starts the service, all find it.

    Args:
        data: its data folder.
        progress: told what it is doing while it loads, and how much of that is done (0 to 1).

    Raises:
        LauncherError: it could not be started, died, or stopped making progress.
    """
    data.mkdir(parents=True, exist_ok=True)
    try:
        with filelock.FileLock(data / "launch.lock", timeout=START_SECONDS):
            service, process = find(data), None
            if service is None:
                token = secrets.token_urlsafe(24)
                process = _spawn(data, token)
                service = _wait_for_address(data, process, token)
    except filelock.Timeout:
        raise LauncherError(
            _(
                "Another notebook has been starting the local service for {seconds} seconds; try again.",
                seconds=START_SECONDS,
            )
        ) from None
    _wait_until_ready(data, service, process, progress)
    return service


def stop(data: Path) -> bool:
    """Ends the service of this data folder.

    Returns:
        Whether one was running.

    Raises:
        LauncherError: it can't be ended, or did not end in time.
    """
    service = find(data)
    if service is None:
        return False
    _end(data, service)
    deadline = time.monotonic() + STOP_SECONDS
    while find(data) is not None:
        if time.monotonic() > deadline:
            raise LauncherError(
                _(
                    "The local service (process {pid}) did not end within {seconds} seconds.",
                    pid=service.pid,
                    seconds=STOP_SECONDS,
                )
            )
        time.sleep(0.1)
    remove_address(data, service.instance)  # Windows has ended it at once, and it could not do so itself
    return True


def _end(data: Path, service: Service) -> None:
    """Asks the process to end; on Windows, ends it."""
    try:
        os.kill(service.pid, signal.SIGTERM)
    except OSError as error:
        if find(data) is not None:  # else it has ended by itself meanwhile
            reason = error.strerror or error
            raise LauncherError(
                _("The local service (process {pid}) can't be ended: {reason}.", pid=service.pid, reason=reason)
            ) from None


def write_address(data: Path, service: Service) -> None:
    """Called by the service: says where it is, in a file that only its user can read.

    Args:
        data: the data folder.
        service: itself.
    """
    private_file.write_json(data / ADDRESS_FILE, asdict(service))


def remove_address(data: Path, instance: str) -> None:
    """Called by the service when it ends; a later service's file is left alone.

    Args:
        data: the data folder.
        instance: of the run that has ended.
    """
    with contextlib.suppress(OSError, ValueError):
        if json.loads((data / ADDRESS_FILE).read_text(encoding="utf-8"))["instance"] == instance:
            (data / ADDRESS_FILE).unlink()


@contextlib.contextmanager
def only_one(data: Path) -> Iterator[None]:
    """Called by the service: holds the data folder for as long as it runs.

    Raises:
        AlreadyRunning: another service holds it.
    """
    try:
        with filelock.FileLock(data / "service.lock", timeout=2):
            yield
    except filelock.Timeout:
        raise AlreadyRunning(_who_runs(data)) from None


def _who_runs(data: Path) -> str:
    running = find(data)
    if running is None:
        return _(
            "Another service, which does not answer, is using {data}: end its process, or give "
            "this one another --data-dir.",
            data=data,
        )
    return _(
        "Another service at {url} (process {pid}) is using {data}: use that one, end it with "
        '`python -m helpers.service stop --data-dir "{data}"`, or give this one another '
        "--data-dir.",
        url=running.url,
        pid=running.pid,
        data=data,
    )


def _spawn(data: Path, token: str) -> subprocess.Popen[bytes]:
    """Starts the service detached from this kernel, so that it outlives it."""
    printing = {"PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8"}  # as `_log_end` reads it
    environment = {**LARGE_PAGES, **os.environ, **_kit_path(), **printing, LOCAL_TOKEN_VARIABLE: token}
    options = ["--data-dir", str(data), "--idle-hours", str(IDLE_HOURS), "--quiet"]
    command = [sys.executable, "-m", "helpers.service", *options]
    detached: dict[str, Any] = {"start_new_session": True}
    if os.name == "nt":
        new_group = subprocess.CREATE_NEW_PROCESS_GROUP  # type: ignore[attr-defined]  # Windows alone has it
        no_window = subprocess.CREATE_NO_WINDOW  # type: ignore[attr-defined]  # the same
        detached = {"creationflags": new_group | no_window}
    with (data / OUTPUT_FILE).open("wb") as output:
        return subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, **detached
        )


def _kit_path() -> dict[str, str]:
    """Where a started Python finds this copy of the kit, which may be on our own `sys.path` and not installed."""
    kit = str(Path(__file__).resolve().parents[2])
    if kit == sysconfig.get_path("purelib"):  # a folder of others' packages must not come before the standard library
        return {}
    return {"PYTHONPATH": os.pathsep.join(filter(None, [kit, os.environ.get("PYTHONPATH")]))}


def _wait_for_address(data: Path, process: subprocess.Popen[bytes], token: str) -> Service:
    """The started service's address. It is known by its token: on Windows a virtual environment's python is a stub with
    another process id than the one it starts."""
    deadline = time.monotonic() + START_SECONDS
    while (service := find(data)) is None or service.token != token:
        _raise_if_dead(data, process)
        if time.monotonic() > deadline:
            process.kill()
            raise LauncherError(
                _(
                    "The local service did not come up within {seconds} seconds.{log}",
                    seconds=START_SECONDS,
                    log=_log_end(data),
                )
            )
        time.sleep(0.05)
    return service


def _wait_until_ready(
    data: Path, service: Service, process: subprocess.Popen[bytes] | None, progress: Callable[[str, float], None]
) -> None:
    """Polls /health; gives up when nothing has moved for START_SECONDS."""
    last, deadline = None, time.monotonic() + START_SECONDS
    while True:
        code, health = health_of(service)
        if code == 200:
            return
        if process is not None:
            _raise_if_dead(data, process)
        elif code is None and find(data) is None:
            raise LauncherError(_("The local service ended while it was loading.{log}", log=_log_end(data)))
        doing, done = health.get("doing"), health.get("progress")
        if (doing, done) != last:
            last, deadline = (doing, done), time.monotonic() + START_SECONDS
            if doing is not None and done is not None:
                progress(_(doing), done)
        if time.monotonic() > deadline:
            raise LauncherError(
                _(
                    "The local service has made no progress for {seconds} seconds ({doing}).{log}",
                    seconds=START_SECONDS,
                    doing=_(str(doing)),
                    log=_log_end(data),
                )
            )
        time.sleep(0.1)


def _raise_if_dead(data: Path, process: subprocess.Popen[bytes]) -> None:
    if process.poll() is not None:
        raise LauncherError(_("The local service ended while it was starting.{log}", log=_log_end(data)))


def _log_end(data: Path) -> str:
    try:
        lines = (data / OUTPUT_FILE).read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_LINES:]
    except OSError:
        return ""
    return " " + _("The end of its output ({file}):", file=data / OUTPUT_FILE) + "\n" + "\n".join(lines)


def health_of(service: Service) -> tuple[int | None, dict[str, Any]]:
    """Status code and body of GET /health, or (None, {}) if nothing answers."""
    try:
        code, body = _get(service, "/health", {})
        health = json.loads(body)
        return code, health if isinstance(health, dict) else {}
    except (OSError, ValueError, TypeError, http.client.HTTPException):
        return None, {}


def metrics_of(service: Service) -> str:
    """The text of GET /metrics, or nothing if it does not answer."""
    try:
        code, body = _get(service, "/metrics", {"Authorization": f"Bearer {service.token}"})
        return body.decode() if code == 200 else ""
    except (OSError, ValueError, http.client.HTTPException):
        return ""


def reset(service: Service, workspace: str) -> None:
    """Has a service delete all that a workspace has; it waits for what is running on an adapter.

    Raises:
        LauncherError: it does not do so, or says nothing in RESET_SECONDS.
    """
    headers = {"Authorization": f"Bearer {service.operator}"}
    try:
        code, body = _call(service, "DELETE", f"/workspaces/{quote(workspace, safe='')}", headers, RESET_SECONDS)
        refused = None if code == 200 else json.loads(body)["message"]
    except (OSError, ValueError, KeyError, TypeError, http.client.HTTPException) as error:
        reason = error or type(error).__name__
        raise LauncherError(
            _("The service at {url} does not answer ({reason}).", url=service.url, reason=reason)
        ) from None
    if refused is not None:
        raise LauncherError(refused)


def _get(service: Service, path: str, headers: dict[str, str]) -> tuple[int, bytes]:
    return _call(service, "GET", path, headers, ANSWER_SECONDS)


def _call(service: Service, method: str, path: str, headers: dict[str, str], seconds: float) -> tuple[int, bytes]:
    with contextlib.closing(_connection(service, seconds)) as connection:
        connection.request(method, path, headers=headers)
        response = connection.getresponse()
        return response.status, response.read()


def _connection(service: Service, seconds: float) -> http.client.HTTPConnection:
    """To a service on this machine. One that speaks https is known by its very certificate, whatever name is in it."""
    address = urlsplit(service.url)
    host = address.hostname or ""
    if address.scheme != "https":
        return http.client.HTTPConnection(host, address.port, timeout=seconds)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # it may be signed by another, whose own is not at hand
    context.load_verify_locations(service.certificate)
    return http.client.HTTPSConnection(host, address.port, timeout=seconds, context=context)
