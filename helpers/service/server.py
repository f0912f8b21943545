"""Puts the parts of the service together and runs them, until it is told to end.

The port is bound first, the address written for `launcher.py`, and the model loaded behind `/health`. Called by
`__main__.py`; what records the lessons makes its engine by `local_engine` too.
"""

from __future__ import annotations

import argparse
import logging
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ..environment import URL_VARIABLE, is_loopback
from . import launcher, logs, paths
from .calls import Calls, Limits
from .http.app import create_app
from .http.serve import end_cleanly_on_signals, http_server, listen, url_of, urls_for_others
from .http.status import Status
from .store import SET_ASIDE, Store

if TYPE_CHECKING:
    import uvicorn

    from .local.engine import LocalEngine
    from .local.model_files import Weights


def run(options: argparse.Namespace, data: Path, any_host: bool) -> str | None:
    """Serves until a signal, an idle end or a failure.

    Args:
        options: those of the command.
        data: the data folder, which this service holds.
        any_host: take calls under any name, and not under this machine's alone.

    Returns:
        Why it could not run, or None after a clean end.
    """
    logs.configure(data, options.quiet)
    status = Status()
    try:
        listening = listen(options.host, options.port)
    except OSError as error:
        return _no_port(options, error)
    with listening as bound:
        port = bound.getsockname()[1]
        url, others = url_of(options.host, port), urls_for_others(options.host, port)
        server = http_server(create_app(status, options.token, any_host=any_host))
        launcher.write_address(data, url, options.token, status.instance, others, status.operator)
        try:
            logs.event("start", url=url, instance=status.instance)
            failures: list[str] = []
            ready = partial(_say_ready, options, url, others)
            loading = threading.Thread(target=_load, args=(options, data, ready, status, server, failures), daemon=True)
            loading.start()
            _watch_idle(options.idle_hours, status, server)
            end_cleanly_on_signals(server)
            server.run(sockets=[bound])
            if status.calls is not None:
                status.calls.close()
            return failures[0] if failures else None
        finally:
            launcher.remove_address(data, status.instance)
            logs.event("end", instance=status.instance)


def _no_port(options: argparse.Namespace, error: OSError) -> str:
    reason = error.strerror or error
    return (
        f"It can't listen on {options.host}, port {options.port} ({reason}): take another --port or --host, or end "
        "what has it; if that is an earlier service, `python -m helpers.service stop` with its --data-dir does."
    )


def _say_ready(options: argparse.Namespace, url: str, others: list[str]) -> None:
    """Says where the service is; to a room also the cell to paste, with a token if it was made: the only time that
    one is said."""
    cell = None if is_loopback(options.host) else partial(_cell, others[-1] if others else url)
    if cell and options.says_token:
        print(f"To paste, with the token of this run: {cell(options.token)}", file=sys.stderr, flush=True)
    print(f"Gradient service ready at {url}", flush=True)
    if others:
        print(f"For other machines ({URL_VARIABLE}): {' or '.join(others)}", flush=True)
    if cell and not options.says_token:
        print(f"To paste: {cell('THE-TOKEN')}", flush=True)


def _cell(url: str, token: str) -> str:
    """What each learner runs first, with a workspace of their own."""
    return f'from helpers import connect; connect(url="{url}", token="{token}", workspace="ada")'


def _load(
    options: argparse.Namespace,
    data: Path,
    ready: Callable[[], None],
    status: Status,
    server: uvicorn.Server,
    failures: list[str],
) -> None:
    """Loads the engine behind the running HTTP server, then says that the service is ready."""
    try:
        status.calls = make_calls(options, data, status)
        while not server.started and not server.should_exit:
            time.sleep(0.01)
        ready()
    except Exception as error:  # noqa: BLE001 - whatever it is, the service can't run
        logs.event("load-failed", logging.ERROR, error, reason=str(error))
        failures.append(str(error))
        server.should_exit = True


def make_calls(options: argparse.Namespace, data: Path, status: Status) -> Calls:
    """The calls around the real engine; the tests put a scripted one in their place."""
    from .local import model_files

    def progress(what: str, done: float) -> None:
        status.doing, status.progress = what, done

    cache = options.cache_dir or paths.cache_dir()
    found = model_files.ensure(cache, options.model, progress)
    progress("Loading the model", 1.0)
    store = open_store(data)
    engine = local_engine(found, cache, seed=options.seed, preload=not options.no_preload)
    return Calls(engine, store, limits_of(options))


def limits_of(options: argparse.Namespace) -> Limits:
    """What the command lets a workspace keep."""
    return Limits(options.max_adapters, options.max_megabytes * 1_000_000)


def open_store(data: Path) -> Store:
    """The adapters of a data folder; the log says if some had to be set aside."""
    store = Store(data)
    if store.set_aside:
        reason = "adapters.sqlite3 does not know them: it was deleted or is an older one"
        logs.event("set-aside", logging.WARNING, folders=store.set_aside, where=data / SET_ASIDE, reason=reason)
    return store


def local_engine(found: Weights, cache: Path, seed: int | None = None, preload: bool = False) -> LocalEngine:
    """llama.cpp and the tuner's process with one model, and the embedder with another, which share the cores.

    Args:
        found: the model's files.
        cache: folder for models, where the embedder's are or will be.
        seed, preload: as for `LocalEngine`.
    """
    from .local.cores import Cores  # imported while `/health` answers already
    from .local.embedder import Embedder
    from .local.embedder_files import EmbedderFiles
    from .local.engine import LocalEngine
    from .tuner.process import TunerProcess

    cores = Cores()
    embedder = Embedder(EmbedderFiles(cache), lambda: cores.threads)
    return LocalEngine(found, TunerProcess(found.folder, cores.shared), embedder, cores, seed, preload)


def _watch_idle(hours: float, status: Status, server: uvicorn.Server) -> None:
    if hours <= 0:
        return

    def watch() -> None:
        while time.monotonic() - status.last_request < hours * 3600:
            time.sleep(min(60.0, hours * 3600 / 4))
        logs.event("idle", hours=hours)
        server.should_exit = True

    threading.Thread(target=watch, daemon=True).start()
