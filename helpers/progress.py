"""A sign of life for calls that take a while and can't say how far they are. Used by notebooks around `fine_tune`."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def waiting(what: str) -> Iterator[None]:
    """Shows how long the block has been running, until it ends.

    Args:
        what: what is being waited for, for example "Fine-tuning on 20 samples".
    """
    from tqdm.auto import tqdm

    done = threading.Event()
    with tqdm(desc=what, bar_format="{desc}: {elapsed}") as bar:

        def tick() -> None:
            while not done.wait(0.5):
                bar.refresh()

        ticker = threading.Thread(target=tick, daemon=True)
        ticker.start()
        try:
            yield
        finally:
            done.set()
            ticker.join()
