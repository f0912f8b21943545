"""What a model makes of a text, to look at: its tokens in colour, and what it thinks comes next.

Called by notebooks, `forms/sampling.py` and the exercises. Only the local service shows this; on another endpoint there
is a sentence that says so.
"""

from __future__ import annotations

import html
import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from . import plots, token_count
from .colours import FAINT, SERIES
from .environment import MAX_NEXT_TOKENS
from .language import _

if TYPE_CHECKING:
    from gradientai import ModelAdapter
    from IPython.display import HTML

SHOWN = 10  # tokens in a chart


def show_tokens(model: ModelAdapter, text: str) -> HTML:
    """The tokens of a text, each in a frame, neighbours in two colours; a space is shown as ␣, a line break as ⏎.

    Args:
        model: any model of the local service.
        text: the text.

    Returns:
        A picture to show as a cell's last value.

    Raises:
        GradientError: the endpoint is not the local service, refuses the text or does not answer.
    """
    from IPython.display import HTML

    found = token_count.pieces(model, text)
    boxes = "".join(
        f'<span title="token {identity}" style="border:1px solid {colour};background:{colour}{FAINT};'
        f'border-radius:4px;padding:1px 3px;margin:1px;display:inline-block;font-family:monospace">'
        f"{html.escape(visible(piece))}</span>"
        for (identity, piece), colour in zip(found, itertools.cycle(SERIES), strict=False)
    )
    count = _("{count} tokens", count=len(found))
    return HTML(f'<div style="line-height:2">{boxes} <span>{count}</span></div>')


@dataclass(frozen=True)
class NextTokens:
    """The likeliest tokens after a prompt.

    Attributes:
        prompt: the text that they would continue.
        probabilities: of each piece of text, before any sampling, the likeliest first; the rest to 1 is spread over
            all other tokens.
    """

    prompt: str
    probabilities: dict[str, float] = field(repr=False)

    def __repr__(self) -> str:
        likeliest = list(self.probabilities.items())[:SHOWN]
        return "\n".join(f"{probability:6.1%} {piece!r}" for piece, probability in likeliest)

    def sampled(self, temperature: float = 1.0, top_k: int | None = None, top_p: float | None = None) -> NextTokens:
        """What a draw with these settings makes of the probabilities.

        Computed from the tokens that are listed, so that a high temperature is shown a little too sure: the many
        tokens beyond them would gain from it as well. As in the service, top_k goes before top_p, and both before the
        temperature.

        Args:
            temperature: 0 takes the likeliest; each probability is raised to the power 1 / temperature.
            top_k: keep so many.
            top_p: keep the likeliest that together have at least this much.

        Raises:
            ValueError: one of them is out of its range.
        """
        if temperature < 0 or (top_k is not None and top_k < 1) or (top_p is not None and not 0 < top_p <= 1):
            raise ValueError(_("temperature is at least 0, top_k at least 1, and top_p above 0 and at most 1"))
        kept = list(self.probabilities.items())[: 1 if temperature == 0 else top_k]
        if top_p is not None:
            kept = kept[: _enough([probability for piece, probability in kept], top_p)]
        powers = {piece: (probability / kept[0][1]) ** (1 / (temperature or 1)) for piece, probability in kept}
        return NextTokens(self.prompt, {piece: power / sum(powers.values()) for piece, power in powers.items()})

    def plot(self, **sampling: Any) -> HTML:
        """A bar chart of the likeliest; with settings of `sampled`, what these make of them beside it."""
        shown = list(self.probabilities)[:SHOWN]
        series = {_("the model's own"): self.probabilities}
        if sampling:
            words = ", ".join(f"{name} {value:g}" for name, value in sampling.items() if value is not None)
            series[words or _("temperature 1")] = self.sampled(**sampling).probabilities
        values = {
            name: {visible(piece): probabilities.get(piece, 0.0) for piece in shown}
            for name, probabilities in series.items()
        }
        return plots.bars(values, _("What may come next"), _("probability"))


def next_tokens(model: ModelAdapter, prompt: str) -> NextTokens:
    """What a model thinks comes next: the likeliest tokens and their probabilities.

    Args:
        model: a base model or an adapter of the local service.
        prompt: the text to continue.

    Raises:
        GradientError: as `show_tokens`.
    """
    found: dict[str, float] = {}
    for piece, probability in token_count.likeliest(model, prompt, MAX_NEXT_TOKENS):
        found[piece] = found.get(piece, 0.0) + probability  # parts of characters look alike
    return NextTokens(prompt, found)


def visible(piece: str) -> str:
    """A piece of text whose white space can be seen."""
    return piece.replace(" ", "␣").replace("\n", "⏎").replace("\t", "⇥") or "∅"


def _enough(probabilities: list[float], top_p: float) -> int:
    """How many of the likeliest together have a share of at least top_p of all that are left."""
    needed, total = top_p * sum(probabilities), 0.0
    for count, probability in enumerate(probabilities, 1):
        total += probability
        if total >= needed:
            return count
    return len(probabilities)
