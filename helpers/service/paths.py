"""Where the service keeps things: per-user folders outside the checkout, each with an environment variable over it.

`data` holds adapters, the log and the running service's address; `cache` holds the model, and can be shared by a room.
"""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

from ..environment import APP_NAME, CACHE_DIR_VARIABLE, DATA_DIR_VARIABLE


def data_dir() -> Path:
    """The folder for adapters and the service's state; GRADIENT_LOCAL_DATA_DIR overrides it."""
    return whole(os.environ.get(DATA_DIR_VARIABLE) or platformdirs.user_data_path(APP_NAME, appauthor=False))


def cache_dir() -> Path:
    """The folder for model weights; GRADIENT_LOCAL_CACHE_DIR overrides it."""
    return whole(os.environ.get(CACHE_DIR_VARIABLE) or platformdirs.user_cache_path(APP_NAME, appauthor=False))


def whole(folder: str | os.PathLike[str]) -> Path:
    """A folder as someone wrote it, from the root on: `~` is the home folder, which only a shell knows by itself, and a
    program that changes its own folder still finds it."""
    return Path(os.path.expanduser(folder)).absolute()  # noqa: PTH111 - Path's own fails for the home of no one
