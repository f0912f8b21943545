"""What a call of a model may be given: the names, the ranges, and a sentence for each that is wrong.

Called by `llm.py` before any call.
"""

from __future__ import annotations

import numbers
from collections.abc import Mapping
from typing import Any

from .environment import MAX_GENERATED_TOKENS, MAX_TEMPERATURE, MAX_TOP_K

NAMES = ("temperature", "top_k", "top_p", "max_generated_token_count", "auto_template", "guidance", "rag")

_WHOLE = {"top_k", "max_generated_token_count"}
_RANGES: dict[str, tuple[float, float]] = {
    "temperature": (0, MAX_TEMPERATURE),
    "top_k": (1, MAX_TOP_K),
    "top_p": (0, 1),
    "max_generated_token_count": (1, MAX_GENERATED_TOKENS),
}


def checked_parameters(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters as the SDK takes them: numbers of any kind, such as NumPy's, as Python's own.

    Raises:
        ValueError: an unknown parameter, or a value out of range.
    """
    unknown = sorted(set(parameters) - set(NAMES))
    if unknown:
        raise ValueError(f"there is no parameter {unknown[0]!r}; there are {', '.join(NAMES)} and choices")
    return {name: _in_range(name, value) if name in _RANGES else value for name, value in parameters.items()}


def strings(name: str, value: Any) -> list[str] | None:
    """One string or several, as a list: a string is itself one of many, and never its letters.

    Raises:
        ValueError: it is something else, or an empty string is among them.
    """
    if value is None:
        return None
    found = [value] if isinstance(value, str) else value
    if not isinstance(found, (list, tuple, set, frozenset)) or not all(isinstance(one, str) and one for one in found):
        raise ValueError(f"{name} has to be a string or a list of strings, none of them empty, not {value!r}")
    return list(found)


def _in_range(name: str, value: Any) -> int | float:
    least, most = _RANGES[name]
    number = _plain(value, whole=name in _WHOLE)
    if number is None or not least <= number <= most:
        kind = "a whole number" if name in _WHOLE else "a number"
        raise ValueError(f"{name} has to be {kind} from {least} to {most}, not {value!r}")
    return number


def _plain(value: Any, whole: bool) -> int | float | None:
    """A number as Python's own, or None if it is none: NumPy's and PyTorch's single values have an `item` for that."""
    if getattr(value, "shape", None) == ():
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        return None
    if isinstance(value, numbers.Integral):
        return int(value)
    number = float(value)
    if not whole:
        return number
    return int(number) if number.is_integer() else None
