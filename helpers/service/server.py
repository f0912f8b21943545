"""Puts the parts of the service together and runs them, until it is told to end.

The port is bound first, the address written for `launcher.py`, and the model loaded behind `/health`. Called by
`__main__.py`; what records the lessons makes its engine by `local_engine` too.
"""

from __future__ import annotations

import argparse
import importlib.util
import logging
import os
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
from .engine import Engine
from .http.app import create_app
from .http.serve import (
    Tls,
    allow_many_connections,
    end_cleanly_on_signals,
    http_server,
    listen,
    url_of,
    urls_for_others,
)
from .http.status import Status
from .refusals import Failed
from .store import ADAPTERS_FILE, SET_ASIDE, Store

if TYPE_CHECKING:
    import uvicorn

    from .local.engine import LocalEngine
    from .local.model_files import Weights

LOOK_SECONDS = 0.5  # how often it is looked whether there is a reason to end


def run(options: argparse.Namespace, data: Path, any_host: bool) -> str | None:
    """Serves until a signal, an idle end or a failure.

    Args:
        options: those of the command.
        data: the data folder, which this service holds.
        any_host: take calls under any name, and not under this machine's alone.

    Returns:
        Why it could not run, or None after a clean end.
    """
    tls = None if options.tls_cert is None else Tls(options.tls_cert, options.tls_key)
    flaw = tls and tls.flaw()
    if flaw:
        return flaw
    logs.configure(data, options.quiet)
    allow_many_connections()
    status = Status()
    try:
        listening = listen(options.host, options.port)
    except OSError as error:
        return _no_port(options, error)
    with listening as bound:
        port = bound.getsockname()[1]
        at = (options.host, port, "http" if tls is None else "https")
        url, others = url_of(*at), urls_for_others(*at)
        server = http_server(create_app(status, options.token, any_host=any_host), tls)
        launcher.write_address(data, _myself(options, status, url, others))
        try:
            logs.event("start", url=url, instance=status.instance)
            failures: list[str] = []
            ready = partial(_say_ready, options, url, others)
            loading = threading.Thread(target=_load, args=(options, data, ready, status, server, failures), daemon=True)
            loading.start()
            _watch(options.idle_hours, status, server, failures)
            end_cleanly_on_signals(server)
            server.run(sockets=[bound])
            if status.calls is not None:
                status.calls.close()
            return failures[0] if failures else None
        finally:
            launcher.remove_address(data, status.instance)
            logs.event("end", instance=status.instance)


def _myself(options: argparse.Namespace, status: Status, url: str, others: list[str]) -> launcher.Service:
    token, certificate = options.token or "any-token-will-do", options.tls_cert and str(options.tls_cert)
    return launcher.Service(url, token, os.getpid(), status.instance, tuple(others), status.operator, certificate)


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
    """The calls around the real engine; the tests put a scripted one in their place.

    Args:
        options: those of the command.
        data: the data folder.
        status: told what is being loaded, and how far it is.

    Raises:
        WeightsError: the model can't be had.
        Failed: the data folder can't be used.
    """
    from .local import model_files

    def progress(what: str, done: float) -> None:
        status.doing, status.progress = what, done

    if options.ray:
        require_ray()
    cache = options.cache_dir or paths.cache_dir()
    found = model_files.ensure(cache, options.model, progress)
    progress("Loading the model", 1.0)
    store, preload = open_store(data), not options.no_preload
    engine: Engine
    if options.ray:
        from .cluster.on_ray import engine_on_ray

        make = partial(engine_of_a_worker, options.cache_dir, options.model, preload, options.tuners)
        engine = engine_on_ray(options.ray, options.ray_workers, found, make, progress)
    else:
        engine = local_engine(found, cache, options.seed, preload, options.tuners)
    return Calls(engine, store, limits_of(options))


def limits_of(options: argparse.Namespace) -> Limits:
    """What the command lets a workspace keep."""
    return Limits(options.max_adapters, options.max_megabytes * 1_000_000)


def open_store(data: Path) -> Store:
    """The adapters of a data folder; the log says if some had to be set aside."""
    store = Store(data)
    if store.set_aside:
        reason = f"{ADAPTERS_FILE} does not know them: it was deleted or is an older one"
        logs.event("set-aside", logging.WARNING, folders=store.set_aside, where=data / SET_ASIDE, reason=reason)
    return store


def local_engine(
    found: Weights, cache: Path, seed: int | None = None, preload: bool = False, tuners: int = 0
) -> LocalEngine:
    """llama.cpp and the tuners' processes with one model, and the embedder with another, which share the cores.

    Args:
        found: the model's files.
        cache: folder for models, where the embedder's are or will be.
        seed, preload: as for `LocalEngine`.
        tuners: how many there may be; 0 leaves it to the machine.
    """
    from .local.cores import Cores, free_memory  # imported while `/health` answers already
    from .local.embedder import Embedder
    from .local.embedder_files import EmbedderFiles
    from .local.engine import LocalEngine
    from .tuner.pool import TunerPool, how_many

    cores, memory = Cores(), free_memory()
    count = tuners or how_many(cores.limit, memory)
    logs.event("tuners", at_most=count, cores=cores.limit, memory_mb=memory // 1_000_000)
    embedder = Embedder(EmbedderFiles(cache), lambda: cores.threads)
    return LocalEngine(found, TunerPool(found.folder, cores.free, count), embedder, cores, seed, preload)


def require_ray() -> None:
    """Says how to install Ray, which `requirements.txt` has not, where it is missing.

    Raises:
        Failed: it is.
    """
    if importlib.util.find_spec("ray") is None:
        raise Failed(
            'Ray is not installed here, and --ray needs it: pip install "ray>=2.50,<3" into this environment and into '
            "that of each machine of the cluster, then start the service again."
        )


def engine_of_a_worker(cache_dir: Path | None, model: Path | None, preload: bool, tuners: int) -> Engine:
    """The engine of a worker: the local one of its machine, which gets the model first if it is not there.

    Args:
        cache_dir: folder for models, or None for that of the machine's user.
        model: as for the command.
        preload, tuners: as for `local_engine`.
    """
    from .local import model_files

    cache = cache_dir or paths.cache_dir()
    return local_engine(model_files.ensure(cache, model), cache, preload=preload, tuners=tuners)


def _watch(idle_hours: float, status: Status, server: uvicorn.Server, failures: list[str]) -> None:
    """Ends the service when its engine can't answer any more, and not before its callers have been told so; and when
    no one has called for so many hours, unless these are 0."""

    def watch() -> None:
        while not server.should_exit:
            broken = status.calls.broken() if status.calls else None
            if broken and not server.should_exit:  # an engine that is closed is broken too
                logs.event("broken", logging.ERROR, reason=broken)
                failures.append(broken)
                server.should_exit = True
            elif 0 < idle_hours * 3600 <= time.monotonic() - status.last_request:
                logs.event("idle", hours=idle_hours)
                server.should_exit = True
            time.sleep(LOOK_SECONDS)

    threading.Thread(target=watch, daemon=True).start()
