"""A clock under every cell that takes long, without a word in the cell: `connect()` turns it on in a notebook.

While a bar of `progress_bars.py` is on show, which says the same, it says nothing. TQDM_DISABLE=1 turns it off, as it
does the bars.
"""

from __future__ import annotations

import threading
import time
from html import escape
from typing import Any

from . import neighbours, progress_bars
from .language import _

SHOWN_AFTER = 2.0  # seconds
MARK = "_gradient_clock"  # on the notebook's shell, so that a second connect() adds no second clock


def start() -> None:
    """Does nothing outside a notebook, or where it runs already."""
    shell = _notebook_shell()
    if shell is None or hasattr(shell, MARK) or progress_bars.are_hidden():
        return
    clock = CellClock()
    setattr(shell, MARK, clock)
    shell.events.register("pre_run_cell", clock.begin)
    shell.events.register("post_run_cell", clock.end)


def _notebook_shell() -> Any:
    try:
        from IPython import get_ipython
    except ImportError:
        return None
    shell = get_ipython()
    return shell if hasattr(shell, "kernel") else None


class CellClock:
    """The clock of whichever cell is running."""

    def __init__(self) -> None:
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def begin(self, info: Any = None) -> None:
        """A cell begins: unless it ends soon, show how long it has been running."""
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._show, args=(self._ended, time.monotonic()), daemon=True)
        self._thread.start()

    def end(self, result: Any = None) -> None:
        """The cell has ended: the clock vanishes before the next begins."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join(neighbours.ASK_SECONDS + 1)

    def _show(self, ended: threading.Event, began: float) -> None:
        if ended.wait(SHOWN_AFTER):
            return
        from IPython.display import HTML, display

        shown = display(HTML(""), display_id=True)
        why: list[str] = []
        with neighbours.watched(why.append):
            while not ended.wait(1.0):
                text = "; ".join([_("running for {seconds:.0f} s", seconds=time.monotonic() - began), *why])
                clock = f'<span style="color: gray">{escape(text)}</span>'
                shown.update(HTML("" if progress_bars.are_on_show() else clock))
        shown.update(HTML(""))
