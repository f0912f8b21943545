"""`python -m helpers.service`: the local Gradient service as a program; `commands.py` has its status, stop and logs.

Binds its port, says where it is in `<data>/service.json` (for `launcher.py`), loads the model behind `/health`, prints
one line when ready, and ends on Ctrl-C or SIGTERM. Imports are kept inside functions: the tuner's process imports this
module again when it starts.
"""

from __future__ import annotations

import argparse
import ipaddress
import logging
import os
import secrets
import signal
import socket
import sys
import threading
import time
from pathlib import Path

TOKEN_VARIABLE = "GRADIENT_LOCAL_TOKEN"  # like --token, but not to be seen in the list of processes
MIN_TOKEN_CHARACTERS = 10  # GradientLLM refuses shorter ones
KEEP_ALIVE_SECONDS = 300  # a call that meets the closing of its idle connection fails: let that be rare
MAX_UNREAD_HEADER_BYTES = 65_536  # beyond it the connection ends; below it `guard.py` refuses with a sentence


def main(arguments: list[str] | None = None) -> int:
    """Runs the service until it is told to end, or does what the command says about the one that runs.

    Returns:
        The exit code: 0 after a clean end, 1 if it could not start or load, 2 for wrong arguments; those of
        `commands.py` for its commands.
    """
    options = _parse(arguments)
    from . import commands, launcher, paths

    data = options.data_dir or paths.data_dir()
    if options.command == "status":
        return commands.status(data)
    if options.command == "stop":
        return commands.stop(data)
    if options.command == "logs":
        return commands.logs(data, options.lines, options.follow)
    _settle_token(options)
    try:
        data.mkdir(parents=True, exist_ok=True)
        with launcher.only_one(data):
            return _run(options, data)
    except launcher.AlreadyRunning as running:
        return _fail(str(running))
    except OSError as error:
        return _fail(f"The service can't use {data} or its port: {error.strerror or error}.")


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m helpers.service", description="The local Gradient service.")
    parser.add_argument(
        "command",
        nargs="?",
        choices=("serve", "status", "stop", "logs"),
        default="serve",
        help="serve (the default), or look after the one that runs: status, stop, logs",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: this machine only)")
    parser.add_argument("--port", type=int, default=0, help="port to listen on (default: a free one)")
    parser.add_argument("--data-dir", type=Path, help="folder for adapters (default: a per-user folder)")
    parser.add_argument("--cache-dir", type=Path, help="folder for the model (default: a per-user folder)")
    parser.add_argument("--model", type=Path, help="another GGUF file of the Llama architecture")
    parser.add_argument("--token", help=f"access token that clients must send (or set {TOKEN_VARIABLE})")
    parser.add_argument("--seed", type=int, help="make sampled answers repeat from start to start")
    parser.add_argument("--idle-hours", type=float, default=0, help="end after this long without a call (0: never)")
    parser.add_argument("--no-preload", action="store_true", help="load the tuner at the first need of it, not before")
    parser.add_argument("--quiet", action="store_true", help="log to the data folder alone, not to the terminal too")
    parser.add_argument("-n", "--lines", type=int, default=20, help="logs: how many lines to show (default: 20)")
    parser.add_argument("-f", "--follow", action="store_true", help="logs: go on with new lines until Ctrl-C")
    options = parser.parse_args(arguments)
    options.token = options.token or os.environ.get(TOKEN_VARIABLE) or None
    if options.token is not None and not _is_usable(options.token):
        parser.error(f"--token needs at least {MIN_TOKEN_CHARACTERS} printable ASCII characters without spaces")
    return options


def _settle_token(options: argparse.Namespace) -> None:
    """A service that others can reach has a token; one that is made here is said once, and only here."""
    if options.token is None and not _is_loopback(options.host):
        options.token = secrets.token_urlsafe(24)
        print(f"Access token for this run (GRADIENT_ACCESS_TOKEN): {options.token}", file=sys.stderr, flush=True)


def _is_usable(token: str) -> bool:
    return len(token) >= MIN_TOKEN_CHARACTERS and token.isascii() and token.isprintable() and " " not in token


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _run(options: argparse.Namespace, data: Path) -> int:
    import uvicorn

    from . import launcher, logs
    from .app import Status, create_app

    logs.configure(data, options.quiet)
    status = Status()
    with _listen(options.host, options.port) as bound:
        url = _url(options.host, bound.getsockname()[1])
        app = create_app(status, options.token, any_host=not _is_loopback(options.host))
        server = uvicorn.Server(http_config(app))
        launcher.write_address(data, url, options.token, status.instance)
        try:
            logs.event("start", url=url, instance=status.instance)
            failures: list[str] = []
            loading = threading.Thread(target=_load, args=(options, data, url, status, server, failures), daemon=True)
            loading.start()
            _watch_idle(options.idle_hours, status, server)
            _end_cleanly_on_signals(server)
            server.run(sockets=[bound])
            if status.operations is not None:
                status.operations.close()
            return _fail(failures[0]) if failures else 0
        finally:
            launcher.remove_address(data, status.instance)
            logs.event("end", instance=status.instance)


def http_config(app):
    """How HTTP is spoken: by h11, whose limits these are, and without WebSockets."""
    import uvicorn

    return uvicorn.Config(
        app,
        http="h11",
        h11_max_incomplete_event_size=MAX_UNREAD_HEADER_BYTES,
        ws="none",
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=5,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
    )


def _end_cleanly_on_signals(server) -> None:
    """uvicorn raises the signal that ended it once more when it is done; that must not end us before we have closed."""

    def end(*_: object) -> None:
        server.should_exit = True

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)


def _listen(host: str, port: int) -> socket.socket:
    """A listening socket. It names TCP as its protocol: asyncio turns off Nagle's delay (40 ms a call) only then."""
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP
    )[0]
    bound = socket.socket(family, kind, protocol)
    try:
        if os.name != "nt":  # on Windows the option would let a second program take the port
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        bound.listen(128)
    except OSError:
        bound.close()
        raise
    return bound


def _url(host: str, port: int) -> str:
    reachable = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{reachable}:{port}/api"


def _load(options, data, url, status, server, failures) -> None:
    """Loads the engine behind the running HTTP server, then says that the service is ready."""
    try:
        status.operations = _operations(options, data, status)
        while not server.started and not server.should_exit:
            time.sleep(0.01)
        print(f"Gradient service ready at {url}", flush=True)
    except Exception as error:  # noqa: BLE001 - whatever it is, the service can't run
        from . import logs

        logs.event("load-failed", logging.ERROR, error, reason=str(error))
        failures.append(str(error))
        server.should_exit = True


def _operations(options, data, status):
    from . import paths, weights
    from .local_engine import LocalEngine
    from .operations import Operations
    from .store import Store

    def progress(what: str, done: float) -> None:
        status.doing, status.progress = what, done

    found = weights.ensure(options.cache_dir or paths.cache_dir(), options.model, progress)
    progress("Loading the model", 1.0)
    store = Store(data)
    engine = LocalEngine(found, seed=options.seed, preload=not options.no_preload)
    return Operations(engine, store)


def _watch_idle(hours: float, status, server) -> None:
    if hours <= 0:
        return
    from . import logs

    def watch() -> None:
        while time.monotonic() - status.last_request < hours * 3600:
            time.sleep(min(60.0, hours * 3600 / 4))
        logs.event("idle", hours=hours)
        server.should_exit = True

    threading.Thread(target=watch, daemon=True).start()


def _fail(sentence: str) -> int:
    print(f"Gradient service failed: {sentence}", file=sys.stderr, flush=True)
    return 1


if __name__ == "__main__":
    sys.exit(main())
