"""The exercise of lesson 1: settings under which the model ends its sentence by itself. Called by `attempt`."""

from __future__ import annotations

from typing import Any

from .not_yet import NotYet

PETS = "The three best pets are"
FINISH_HINT = "The model needs room to end: how many tokens may it generate?"


def finish(settings: dict[str, Any], model: Any) -> str:
    """Whether the model ends its sentence by itself.

    Args:
        settings: arguments of `complete`.
        model: what to ask.

    Raises:
        NotYet: it was cut off, or said nothing.
    """
    answer = model.complete(query=PETS, **settings)
    if answer.finish_reason != "stop":
        limit = settings.get("max_generated_token_count")
        raise NotYet(f"it was cut off after {limit} tokens, at {answer.generated_output[-30:]!r}.")
    if not answer.generated_output.strip():
        raise NotYet("it ended at once and said nothing.")
    return f"It ended by itself: {answer.generated_output.strip()!r}."
