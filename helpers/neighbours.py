"""Says that other programs use the processor, where the local service knows it, to whoever waits for it unusually long.

Called by `progress_bars.py` and by the forms. Another endpoint says nothing of this, and is not asked twice a second
either.
"""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from urllib.parse import urlsplit

from .endpoint import setting
from .environment import TOLERATED_CORES, URL_VARIABLE
from .language import _

SLOW_SECONDS = 5.0  # a few times what an answer takes on a quiet machine, or one sample's fine-tune
ASK_SECONDS = 1.0  # for the service to answer that


def sentence(url: str | None = None) -> str:
    """What to say of other programs right now; empty if they leave the processor alone, or no one knows.

    Args:
        url: the endpoint's base URL; None is that of GRADIENT_API_URL.
    """
    try:
        address = urlsplit(url or setting(URL_VARIABLE))
        if address.scheme != "http" or not address.hostname:
            return ""
        with closing(http.client.HTTPConnection(address.hostname, address.port, timeout=ASK_SECONDS)) as connection:
            connection.request("GET", "/health")
            load = json.loads(connection.getresponse().read())["load"]
        others, cores = float(load["others"]), int(load["cores"])
    except (OSError, ValueError, TypeError, KeyError, http.client.HTTPException):
        return ""
    if others <= TOLERATED_CORES:
        return ""
    return _("other programs use {others:.1f} of {cores} cores, so this takes longer", others=others, cores=cores)


@contextmanager
def watched(say: Callable[[str], None], url: str | None = None) -> Iterator[None]:
    """While the block runs: says so once, if it has run for SLOW_SECONDS and other programs use the processor.

    Args:
        say: shows the sentence.
        url: as for `sentence`.
    """
    done = threading.Event()

    def watch() -> None:
        while not done.wait(SLOW_SECONDS):
            found = sentence(url)
            if found and not done.is_set():
                say(found)
                return

    watcher = threading.Thread(target=watch, daemon=True, name="neighbours")
    watcher.start()
    try:
        yield
    finally:
        done.set()
