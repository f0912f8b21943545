"""What the Gradient notebooks should not have to spell out.

    from helpers import connect, GradientLLM

Importing this package loads nothing heavy: each name is imported when it is first used. In a notebook it has cells
that fail show one sentence (`cell_errors.py`).
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from . import cell_errors
from .environment import VERSION as __version__  # noqa: F401 - Python's own name for it

if TYPE_CHECKING:
    from . import auth, doctor, exercises, forms, language, plots
    from .connection import adapter_folder, connect, stop_local_service
    from .embeddings import GradientEmbeddings
    from .errors import (
        BadInput,
        Busy,
        GradientError,
        LossRanAway,
        MissingCredentials,
        NotServed,
        TimedOut,
        UnknownAdapter,
        UnknownCollection,
        UnknownModel,
        Unreachable,
        WrongCredentials,
    )
    from .export import export_adapter
    from .lessons import copy_lessons
    from .llm import GradientLLM
    from .progress_bars import progress, waiting
    from .token_views import next_tokens, show_tokens

_WHERE = {  # of the names that are in no module of their own; those that are missing here are kinds of error
    "adapter_folder": "connection",
    "connect": "connection",
    "stop_local_service": "connection",
    "GradientEmbeddings": "embeddings",
    "export_adapter": "export",
    "GradientLLM": "llm",
    "progress": "progress_bars",
    "waiting": "progress_bars",
    "show_tokens": "token_views",
    "next_tokens": "token_views",
    "copy_lessons": "lessons",
}
_MODULES = ("auth", "doctor", "exercises", "forms", "language", "plots")

__all__ = [
    "BadInput",
    "Busy",
    "GradientEmbeddings",
    "GradientError",
    "GradientLLM",
    "LossRanAway",
    "MissingCredentials",
    "NotServed",
    "TimedOut",
    "Unreachable",
    "UnknownAdapter",
    "UnknownCollection",
    "UnknownModel",
    "WrongCredentials",
    "adapter_folder",
    "auth",
    "connect",
    "copy_lessons",
    "doctor",
    "exercises",
    "export_adapter",
    "forms",
    "language",
    "next_tokens",
    "plots",
    "progress",
    "show_tokens",
    "stop_local_service",
    "waiting",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f".{name}", __name__)
    if name not in __all__:
        raise AttributeError(f"helpers has no {name!r}; it has {', '.join(__all__)}")
    value = getattr(importlib.import_module(f".{_WHERE.get(name, 'errors')}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])


cell_errors.start()
