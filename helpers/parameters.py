"""What a call of a model may be given: the names, the ranges, and a sentence for each that is wrong.

Called by `llm.py` before any call, and by `arguments.py` to say what was wrong with one.
"""

from __future__ import annotations

import numbers
from collections.abc import Mapping
from typing import Any, NamedTuple

from .environment import MAX_GENERATED_TOKENS, MAX_RANK, MAX_TEMPERATURE, MAX_TOP_K
from .errors import BadInput
from .language import _

NAMES = ("temperature", "top_k", "top_p", "max_generated_token_count", "auto_template", "guidance", "rag")


class Range(NamedTuple):
    """What a number may be.

    Attributes:
        least, most: its ends; they belong to it unless it is open.
    """

    least: float
    most: float
    is_whole: bool = False
    is_open: bool = False

    def __str__(self) -> str:
        ends = {"least": self.least, "most": self.most}
        if self.is_open and self.most == float("inf"):
            return _("a number above {least}", **ends)
        if self.is_open:
            return _("a number above {least} and below {most}", **ends)
        if self.is_whole:
            return _("a whole number from {least} to {most}", **ends)
        return _("a number from {least} to {most}", **ends)

    def holds(self, number: float) -> bool:
        """Whether a number is in it; NaN is in none."""
        if self.is_open:
            return self.least < number < self.most
        return self.least <= number <= self.most


RANGES = {
    "temperature": Range(0, MAX_TEMPERATURE),
    "top_k": Range(1, MAX_TOP_K, is_whole=True),
    "top_p": Range(0, 1),
    "max_generated_token_count": Range(1, MAX_GENERATED_TOKENS, is_whole=True),
    "rank": Range(1, MAX_RANK, is_whole=True),
    "learning_rate": Range(0, 1, is_open=True),
    "multiplier": Range(0, float("inf"), is_open=True),
}


def checked_parameters(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters as the SDK takes them: numbers of any kind, such as NumPy's, as Python's own.

    Raises:
        BadInput: an unknown parameter, or a value out of range.
    """
    unknown = sorted(set(parameters) - set(NAMES))
    if unknown:
        raise BadInput(
            _("There is no parameter {name!r}; there are {names} and choices.", name=unknown[0], names=", ".join(NAMES))
        )
    return {name: in_range(name, value) if name in RANGES else value for name, value in parameters.items()}


def strings(name: str, value: Any) -> list[str] | None:
    """One string or several, as a list: a string is itself one of many, and never its letters.

    Args:
        name: of the parameter, for the sentence.
        value: what was given for it.

    Raises:
        BadInput: it is something else, or an empty string is among them.
    """
    if value is None:
        return None
    found = [value] if isinstance(value, str) else value
    if not isinstance(found, (list, tuple, set, frozenset)) or not all(isinstance(one, str) and one for one in found):
        raise BadInput(
            _(
                "{name} has to be a string or a list of strings, none of them empty, not {value!r}.",
                name=name,
                value=value,
            )
        )
    return list(found)


def in_range(name: str, value: Any) -> int | float:
    """A number of any kind as Python's own.

    Args:
        name: one of RANGES.
        value: what was given for it.

    Raises:
        BadInput: it is none, or out of range.
    """
    allowed = RANGES[name]
    number = plain(value, whole=allowed.is_whole)
    if number is None or not allowed.holds(number):
        raise BadInput(_("{name} has to be {what}, not {value!r}.", name=name, what=allowed, value=value))
    return number


def plain(value: Any, whole: bool = False) -> int | float | None:
    """A number as Python's own, or None if it is none: NumPy's and PyTorch's single values have an `item` for that.

    Args:
        value: a number of any kind, numpy's too.
        whole: whether it has to be an int.
    """
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
