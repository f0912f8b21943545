"""Signs of life for cells that take a while: a bar where the number of steps is known, a clock where it isn't.

Used by notebooks and by `connect()`. TQDM_DISABLE=1 hides both, so that recorded outputs hold no clocks: tqdm itself
heeds it in a terminal, but not as a notebook's widget.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from . import neighbours

Item = TypeVar("Item")

_on_show: set[int] = set()


def bar(*arguments: Any, **options: Any) -> Any:
    """tqdm's bar, as a widget in a notebook and as text elsewhere; takes what tqdm takes."""
    from tqdm.auto import tqdm

    return tqdm(*arguments, disable=are_hidden(), **options)


def are_hidden() -> bool:
    """Whether signs of life are unwanted, by TQDM_DISABLE."""
    return os.environ.get("TQDM_DISABLE", "0") not in ("", "0")


def progress(items: Iterable[Item], what: str) -> Iterator[Item]:
    """The items, with a bar that moves as they are used and vanishes after the last.

    Args:
        items: what to go through; a list, so that the bar knows how many there are.
        what: what is being done, for example "asking".
    """
    with bar(items, desc=what, leave=False) as moving, _said_in(moving):
        yield from moving


def are_on_show() -> bool:
    """Whether any bar or clock of this module is being shown right now."""
    return bool(_on_show)


@contextmanager
def _said_in(drawn: Any) -> Iterator[None]:
    """Adds to a bar that other programs use the processor, if that is why it takes long; a hidden one asks no one."""
    if drawn.disable:
        yield
        return
    _on_show.add(id(drawn))  # the bars themselves are equal to others at the same place
    try:
        with neighbours.watched(drawn.set_postfix_str):
            yield
    finally:
        _on_show.remove(id(drawn))


@contextmanager
def waiting(what: str) -> Iterator[None]:
    """Shows how long the block has been running, until it ends.

    Args:
        what: what is being waited for, for example "Fine-tuning on 20 samples".
    """
    done = threading.Event()
    with bar(desc=what, bar_format="{desc}: {elapsed}{postfix}") as clock, _said_in(clock):

        def tick() -> None:
            while not done.wait(0.5):
                clock.refresh()

        ticker = threading.Thread(target=tick, daemon=True)
        ticker.start()
        try:
            yield
        finally:
            done.set()
            ticker.join()
