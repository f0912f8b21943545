"""The exercise of lesson 1: settings under which the model ends its sentence by itself. Called by `attempt`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .not_yet import NotYet

PETS = "The three best pets are"
ROOM = "max_generated_token_count"
OTHERS = {"auto_template", "temperature", "top_k", "top_p"}  # guidance would write the answer itself
FINISH_HINT = "The model needs room to end: how many tokens may it generate?"


def finish(settings: Mapping[str, Any], model: Any) -> str:
    """Whether the model ends its sentence by itself, given how many tokens it may generate.

    Args:
        settings: arguments of `complete`, ROOM among them.
        model: what to ask.

    Raises:
        NotYet: the settings are no such arguments, or leave it to luck; it was cut off, or said nothing.
    """
    limit = _room(settings)
    answer = model.complete(query=PETS, **settings)
    if answer.finish_reason != "stop":
        raise NotYet(f"it was cut off after {limit} tokens, at {answer.generated_output[-30:]!r}.")
    if not answer.generated_output.strip():
        raise NotYet("it ended at once and said nothing.")
    return f"It ended by itself: {answer.generated_output.strip()!r}."


def _room(settings: Any) -> int:
    """How many tokens the settings leave to the model, if they are settings with which it ends every time."""
    if not isinstance(settings, Mapping):
        raise NotYet(f'settings are a dict, such as {{"{ROOM}": 4}}.')
    strange = [name for name in settings if name != ROOM and name not in OTHERS]
    if strange:
        raise NotYet(f"{ascii(strange[0])[:60]} is no setting for this: {ROOM} is the one that matters.")
    limit = settings.get(ROOM)
    if not isinstance(limit, int) or isinstance(limit, bool):
        raise NotYet(f"say how many tokens it may generate, with {ROOM} and a whole number.")
    if settings.get("temperature"):
        raise NotYet("with a temperature it ends this time and not the next: leave it out.")
    return limit
