"""Number fields that keep to a range and say when they do.

Called by `complete.py`, `tune.py` and `adapter_fields.py`. The Bounded widgets of ipywidgets change a number in the
browser without a word, so these have no bounds of their own.
"""

from __future__ import annotations

from collections.abc import Callable

import ipywidgets as widgets

from ..language import _
from .form import OWN_WIDTH

STEP = 0.1


def number_field(
    description: str,
    value: float,
    limits: tuple[float, float],
    say: Callable[[str], object],
    tooltip: str = "",
    width: str = "170px",
) -> widgets.IntText | widgets.FloatText:
    """A field for a number, with a label that screen readers find, as they don't a slider's.

    Args:
        description: its label.
        value: what it begins with; a whole number makes it a field for whole numbers.
        limits: the least and the greatest number; one beyond becomes the nearest of the two.
        say: told in a sentence what such a number became.
        tooltip: what more there is to know.
        width: of the field.
    """
    kind, step = (widgets.IntText, 1) if isinstance(value, int) else (widgets.FloatText, STEP)
    field = kind(value=value, step=step, description=description, tooltip=tooltip, style=OWN_WIDTH)
    field.layout.width = width
    least, most = limits

    def keep(given: float) -> None:
        allowed = min(max(given, least), most) if given == given else least  # NaN is equal to nothing
        if allowed != given:
            field.value = allowed
            say(
                _(
                    "{description} goes from {least:g} to {most}: {given} became {allowed}.",
                    description=description,
                    least=least,
                    most=_short(most),
                    given=_short(given),
                    allowed=_short(allowed),
                )
            )

    field.observe(lambda change: keep(change["new"]), "value")
    return field


def _short(number: float) -> str:
    return f"{number:g}" if isinstance(number, float) else str(number)
