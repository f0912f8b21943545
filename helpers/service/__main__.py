"""`python -m helpers.service`: the local Gradient service as a program; `commands.py` looks after one that runs.

Reads the command line and settles the token; `server.py` puts the service together and runs it: it prints one line when
ready, and ends on Ctrl-C or SIGTERM. Imports are kept inside functions: the tuner's process imports this module again
when it starts.
"""

from __future__ import annotations

import argparse
import math
import os
import secrets
import sys
from functools import partial

from .. import console
from ..environment import LOCAL_RAY, LOCAL_TOKEN_VARIABLE, MIN_TOKEN_CHARACTERS, is_loopback, is_token

LOCAL_RAY_WORKERS = 2


def main(arguments: list[str] | None = None) -> int:
    """Runs the service until it is told to end, or does what the command says about the one that runs.

    Returns:
        The exit code: 0 after a clean end, 1 if it could not start or load, 2 for wrong arguments; those of
        `commands.py` for its commands.
    """
    console.take_any_text()
    options = _parse(arguments)
    from . import commands, launcher, paths

    data = options.data_dir or paths.data_dir()
    if options.command == "status":
        return commands.status(data, options.json)
    if options.command == "stop":
        return commands.stop(data)
    if options.command == "reset":
        return commands.reset(data, options.workspace, options.yes)
    if options.command == "logs":
        return commands.logs(data, options.lines, options.follow)
    _settle_token(options)
    try:
        data.mkdir(parents=True, exist_ok=True)
        with launcher.only_one(data):
            from . import server

            failure = server.run(options, data, any_host=not is_loopback(options.host))
        return _fail(failure) if failure else 0
    except launcher.AlreadyRunning as running:
        return _fail(str(running))
    except OSError as error:
        return _fail(f"The service can't use {data}: {error.strerror or error}.")


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    from .calls import MAX_ADAPTERS, MAX_BYTES
    from .paths import whole

    most_mb = MAX_BYTES // 1_000_000
    parser = argparse.ArgumentParser(prog="python -m helpers.service", description="The local Gradient service.")
    parser.add_argument(
        "command",
        nargs="?",
        choices=("serve", "status", "stop", "logs", "reset"),
        default="serve",
        help="serve (the default), or look after the one that runs: status, stop, logs, reset WORKSPACE",
    )
    parser.add_argument("workspace", nargs="?", help="reset: whose adapters, files, collections and counts to delete")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: this machine only)")
    parser.add_argument("--port", type=_port, default=0, help="port to listen on (default: a free one)")
    parser.add_argument("--data-dir", type=whole, help="folder for adapters (default: a per-user folder)")
    parser.add_argument("--cache-dir", type=whole, help="folder for the model (default: a per-user folder)")
    parser.add_argument("--model", type=whole, help="another GGUF file of the Llama architecture")
    parser.add_argument("--tls-cert", type=whole, help="certificate (PEM): speak https, with --tls-key")
    parser.add_argument("--tls-key", type=whole, help="its private key (PEM, without a passphrase)")
    parser.add_argument("--token", help=f"access token that clients must send (or set {LOCAL_TOKEN_VARIABLE})")
    parser.add_argument(
        "--max-adapters", type=_count, default=MAX_ADAPTERS, help=f"of a workspace (default: {MAX_ADAPTERS})"
    )
    parser.add_argument(
        "--max-megabytes",
        type=_count,
        default=most_mb,
        help=f"of a workspace's adapters, files and collections together (default: {most_mb})",
    )
    parser.add_argument("--seed", type=int, help="make sampled answers repeat from start to start")
    parser.add_argument("--idle-hours", type=_hours, default=0, help="end after this long without a call (0: never)")
    parser.add_argument("--no-preload", action="store_true", help="load the tuner at the first need of it, not before")
    parser.add_argument(
        "--ray", metavar="ADDRESS", help="compute on the Ray cluster with this head; local: start one here"
    )
    parser.add_argument(
        "--ray-workers", type=_workers, help=f"--ray local: how many workers to start (default: {LOCAL_RAY_WORKERS})"
    )
    parser.add_argument("--tuners", type=_tuners, default=0, help="fine-tunes at once (default: one per two cores)")
    parser.add_argument("--quiet", action="store_true", help="log to the data folder alone, not to the terminal too")
    parser.add_argument("-n", "--lines", type=_count, default=20, help="logs: how many lines to show (default: 20)")
    parser.add_argument("-f", "--follow", action="store_true", help="logs: go on with new lines until Ctrl-C")
    parser.add_argument("-y", "--yes", action="store_true", help="reset: don't ask before deleting")
    parser.add_argument("--json", action="store_true", help="status: for programs")
    options = parser.parse_intermixed_args(arguments)  # or an option before WORKSPACE would end the positionals
    _check_ray(parser, options)
    if (options.tls_cert is None) != (options.tls_key is None):
        parser.error("--tls-cert and --tls-key go together: the certificate, and the key that it was made with")
    if (options.command == "reset") != (options.workspace is not None):
        parser.error("reset takes the id of a workspace, and no other command does; status lists those there are")
    options.token = options.token or os.environ.get(LOCAL_TOKEN_VARIABLE) or None
    if options.token is not None and not is_token(options.token):
        parser.error(f"--token needs at least {MIN_TOKEN_CHARACTERS} printable ASCII characters without spaces")
    return options


def _check_ray(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """What goes with `--ray`, and what does not."""
    if options.ray_workers is not None and options.ray != LOCAL_RAY:
        parser.error("--ray-workers goes with --ray local; on a cluster each machine has one worker")
    if options.ray and options.token:
        parser.error(
            "--token goes with no --ray, as Ray shows a program's command line to the whole cluster: set "
            f"{LOCAL_TOKEN_VARIABLE} instead"
        )
    if options.ray and options.seed is not None:
        parser.error("--seed repeats answers on one machine only: leave it out with --ray")
    options.ray_workers = options.ray_workers or LOCAL_RAY_WORKERS


def _number(least: int, most: int, flaw: str, text: str) -> int:
    """A whole number, as the command line has it."""
    if not (text.isascii() and text.isdigit() and len(text) < 12 and least <= int(text) <= most):
        raise argparse.ArgumentTypeError(f"{text} is {flaw}")
    return int(text)


_port = partial(_number, 0, 65_535, "no port: ports go from 0, which means a free one, to 65535")
_count = partial(_number, 0, 1_000_000_000, "no number: 20 is one")
_workers = partial(_number, 1, 64, "no number of workers: 2 is one, 64 the most")
_tuners = partial(_number, 0, 256, "no number of tuners: 1 to 256 are, and 0 leaves it to the machine")


def _hours(text: str) -> float:
    """A time to wait, as the command line has it."""
    try:
        hours = float(text)
    except ValueError:
        hours = math.nan
    if not 0 <= hours < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is no time in hours: 8 is one, 0.5 another, and 0 means for ever")
    return hours


def _settle_token(options: argparse.Namespace) -> None:
    """A service that others can reach has a token. One that is made here is still to be said, by `server.py`."""
    options.says_token = options.token is None and not is_loopback(options.host)
    if options.says_token:
        options.token = secrets.token_urlsafe(24)


def _fail(sentence: str) -> int:
    print(f"Gradient service failed: {sentence}", file=sys.stderr, flush=True)
    return 1


if __name__ == "__main__":
    sys.exit(main())
