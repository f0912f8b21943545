"""HTTP itself, by uvicorn: the listening socket, the limits of the protocol, and an end without a signal too many.

Called by `server.py`, and by the tests' stub server.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import signal
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp

from ...environment import is_loopback

OPEN_FILES = 10_240  # as many as macOS gives
KEEP_ALIVE_SECONDS = 300  # a call that meets the closing of its idle connection fails: let that be rare
MAX_UNREAD_HEADER_BYTES = 65_536  # beyond it the connection ends; below it `guard.py` refuses with a sentence


@dataclass(frozen=True)
class Tls:
    """What https needs: a certificate and its private key, PEM files both."""

    certificate: Path
    key: Path

    def flaw(self) -> str | None:
        """Why these files can't be used, or None if they can."""
        try:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self.certificate, self.key, password="")  # or OpenSSL asks in the terminal for one
        except OSError as error:  # ssl's own are of this kind too
            reason = getattr(error, "reason", None) or error.strerror or str(error)
            return (
                f"It can't use {self.certificate} and {self.key} for https ({reason}): --tls-cert takes a certificate "
                "and --tls-key the key that it was made with, both as PEM and the key without a passphrase."
            )
        return None


def http_server(app: ASGIApp, tls: Tls | None = None) -> uvicorn.Server:
    """Speaks HTTP by h11, whose limits these are, and without WebSockets.

    Args:
        app: what answers.
        tls: speak https with these.
    """
    config = uvicorn.Config(
        app,
        http="h11",
        h11_max_incomplete_event_size=MAX_UNREAD_HEADER_BYTES,
        ws="none",
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=5,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        ssl_certfile=None if tls is None else tls.certificate,
        ssl_keyfile=None if tls is None else tls.key,
    )
    return uvicorn.Server(config)


def end_cleanly_on_signals(server: uvicorn.Server) -> None:
    """uvicorn raises the signal that ended it once more when it is done; that must not end us before we have closed."""

    def end(*_: object) -> None:
        server.should_exit = True

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)


def allow_many_connections() -> None:
    """Each is an open file, of which a program may have 256 (macOS) or 1024 (Linux) unless it asks for more. Whoever
    connects beyond that would get no answer and no refusal."""
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource  # Windows has none, and no such limit

        allowed, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = OPEN_FILES if most == resource.RLIM_INFINITY else min(OPEN_FILES, most)
        if allowed != resource.RLIM_INFINITY and allowed < wanted:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. It names TCP as its protocol: asyncio turns off Nagle's delay (40 ms a call) only then.

    Args:
        host: a name or an address of this machine.
        port: 0 takes a free one.

    Raises:
        OSError: the address is not this machine's, or the port is taken.
    """
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


def url_of(host: str, port: int, scheme: str = "http") -> str:
    """The base URL under which programs on this machine reach what listens there.

    Args:
        host, port: what it listens on.
        scheme: http or https.
    """
    if _is_every_address(host):
        host = "::1" if ":" in host else "127.0.0.1"
    return _url(host, port, scheme)


def urls_for_others(host: str, port: int, scheme: str = "http") -> list[str]:
    """The base URLs under which other machines reach what listens on every address of this one; else none.

    This machine's name, which others may not know, and the address that its way out has; no packet is sent to learn it.

    Args:
        host, port: what it listens on.
        scheme: http or https.
    """
    if not _is_every_address(host):
        return []
    names = [socket.gethostname()]
    family, far_away = (socket.AF_INET6, "2001:db8::1") if ":" in host else (socket.AF_INET, "192.0.2.1")
    with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as way_out:
        way_out.connect((far_away, 9))
        names.append(way_out.getsockname()[0])
    return [_url(name, port, scheme) for name in dict.fromkeys(names) if name and not is_loopback(name)]


def _is_every_address(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False


def _url(host: str, port: int, scheme: str) -> str:
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}/api"
