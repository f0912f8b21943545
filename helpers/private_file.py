"""Writes files that hold a secret, readable by their owner alone. Used by `auth.py` and `service/launcher.py`."""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path
from typing import Any

from . import renaming


def write_json(path: Path, content: Any) -> None:
    """Writes JSON under a name in one step, with mode 600 from the first byte on.

    Args:
        path: the file; one that is there already, whatever its permissions, is replaced.
        content: what to write.

    Raises:
        OSError: it can't be written; no part of it is left anywhere.
    """
    staging = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    handle = os.open(staging, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(content, file)
        renaming.replace(staging, path)
    except BaseException:
        staging.unlink(missing_ok=True)
        raise
