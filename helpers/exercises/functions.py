"""What exercises have in common that ask for a function: it is tried, and whatever it does is a reason."""

from __future__ import annotations

import math
from typing import Any

from ..language import _
from .not_yet import NotYet


def tried(function: Any, *given: Any) -> Any:
    """What a learner's function gives.

    Raises:
        NotYet: it is no function, or it fails.
    """
    if not callable(function) or isinstance(function, type):
        raise NotYet(_("write a function and give its name, without calling it."))
    try:
        return function(*given)
    except Exception as error:  # noqa: BLE001 - whatever a learner's function does is a reason
        raise NotYet(_("it fails with {error} when it is tried.", error=type(error).__name__)) from error


def number(found: Any) -> float:
    """A number, also one of numpy's; what is none is compared with nothing.

    Raises:
        NotYet: it is no number.
    """
    try:
        return float(found) if not isinstance(found, (str, bytes, bool)) else math.nan
    except Exception:  # noqa: BLE001 - a learner's own object may do anything
        raise NotYet(_("a number is wanted, and this gave {kind}.", kind=type(found).__name__)) from None


def compare(where: str, found: float, expected: float, most: float) -> None:
    """Refuses a number that is further than `most`, or that part of itself, from the right one.

    Args:
        where: what was computed, for the sentence.
        found: what the learner's function gave.
        expected: what is right.

    Raises:
        NotYet: it is.
    """
    if not math.isclose(found, expected, rel_tol=most, abs_tol=most):
        raise NotYet(
            _("{where} it gives {found:.6g}, and {expected:.6g} is right.", where=where, found=found, expected=expected)
        )
