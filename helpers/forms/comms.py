"""Messages to widgets in the order in which they were sent. Called by `form.py`.

JupyterLab asks the kernel to handle all messages to widgets in one thread of their own. Since 7.4, ipykernel hands each
to the thread that last wrote to that very widget instead, the main one for a widget that a cell has just made: then a
click may be handled before what was typed in a field ahead of it, and a form waits for a cell that runs.
"""

from __future__ import annotations

import sys
from typing import Any


def keep_order() -> None:
    """Has the kernel handle messages to widgets where the page asks for it; does nothing where no kernel runs."""
    comm: Any = getattr(sys.modules.get("ipykernel.comm.comm"), "BaseComm", None)
    if hasattr(comm, "_reply_subshell_for"):
        comm._reply_subshell_id = property(_no_last_writer, lambda comm, thread: None)  # noqa: SLF001 - no other way yet


def _no_last_writer(comm: Any) -> str:
    raise AttributeError("the page chooses the thread")  # which makes ipykernel do as the page asks
