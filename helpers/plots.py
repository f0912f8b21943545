"""Figures of the lessons, each with a text that says what it shows to those who can't see it.

Called by notebooks. matplotlib is imported when the first figure is drawn.
"""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

from .errors import BadInput

if TYPE_CHECKING:
    from IPython.display import HTML
    from matplotlib.figure import Figure


def loss_curve(losses: Sequence[float], title: str = "Mean loss before each fine_tune call") -> HTML:
    """The mean loss per trainable token over a series of fine_tune calls, on a logarithmic scale.

    Args:
        losses: one value per call, in nats: sum_loss / number_of_trainable_tokens.
        title: what the figure says above the curve.

    Returns:
        A picture to show as a cell's last value.

    Raises:
        BadInput: there are no losses, or one is not positive.
    """
    if not losses or min(losses) <= 0:
        raise BadInput("loss_curve needs at least one loss, all above 0: sum_loss / number_of_trainable_tokens")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3), layout="constrained")
    axes = figure.subplots()
    calls = range(1, len(losses) + 1)
    axes.plot(calls, losses, marker="o")
    axes.set(xlabel="fine_tune call", ylabel="nats per token", title=title, yscale="log", xticks=list(calls))
    axes.grid(alpha=0.3)
    first, last = f"{losses[0]:.2f}", f"{losses[-1]:.3f}"
    return picture(figure, f"{title}: {len(losses)} calls, from {first} down to {last} nats per token.")


def picture(figure: Figure, alt: str) -> HTML:
    """A figure as a PNG with an alternative text, on white so that it reads in a dark theme too.

    It is an HTML image: JupyterLab shows the alternative text of a plain image output to no one.

    Args:
        figure: a matplotlib figure.
        alt: what it shows, in a sentence.
    """
    from IPython.display import HTML

    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=100, facecolor="white", metadata={"Software": None})
    source = base64.b64encode(png.getvalue()).decode("ascii")
    return HTML(f'<img alt="{html.escape(alt)}" src="data:image/png;base64,{source}">')
