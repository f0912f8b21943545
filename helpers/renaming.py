"""Puts a finished file or folder in its place, also where another program has it open just then.

Windows renames nothing that another program has open: a virus scanner that looks at what was just written, a kernel
that reads the address of the service. That is over in a moment, so it is tried again. Called by whatever writes under
another name first, so that nothing half written is ever found.
"""

from __future__ import annotations

import time
from pathlib import Path

OPEN_ELSEWHERE = (5, 32)  # Windows' numbers for access denied and for a sharing violation
TRY_SECONDS = 2.0
PAUSE_SECONDS = 0.05


def replace(source: Path, target: Path) -> None:
    """Renames in one step; what is in the way is replaced, unless it is a folder with something in it.

    Args:
        source: what is finished.
        target: its place, on the same disk.

    Raises:
        OSError: it can't be renamed; on Windows, not within TRY_SECONDS.
    """
    give_up_at = time.monotonic() + TRY_SECONDS
    while True:
        try:
            source.replace(target)
            return
        except OSError as error:
            if getattr(error, "winerror", None) not in OPEN_ELSEWHERE or time.monotonic() > give_up_at:
                raise
        time.sleep(PAUSE_SECONDS)
