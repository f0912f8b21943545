"""Figures of the lessons, each with a text that says what it shows to those who can't see it.

Called by notebooks. matplotlib is imported when the first figure is drawn.
"""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Mapping, Sequence
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


def bars(values: Mapping[str, Mapping[str, float]], title: str, measure: str) -> HTML:
    """Bars from the left, a group for each label and in it a bar for each series, with its number beside it.

    Args:
        values: for each series, by name, the number of each label; all have the same labels, in the same order.
        title: what the figure says above them.
        measure: what the numbers are, in words.

    Returns:
        A picture to show as a cell's last value.

    Raises:
        ValueError: there is no series, or the labels differ.
    """
    labels = list(next(iter(values.values()), {}))
    if not labels or any(list(series) != labels for series in values.values()):
        raise ValueError("bars needs at least one series, and the same labels in each: {'name': {'label': 1.0}}")
    from matplotlib.figure import Figure

    thick = 0.8 / len(values)
    figure = Figure(figsize=(6.5, 0.8 + len(labels) * (0.12 + 0.22 * len(values))), layout="constrained")
    axes = figure.subplots()
    for place, ((name, series), hatch) in enumerate(zip(values.items(), ("", "//", "..", "xx", "--"))):  # noqa: B905
        heights = [row + place * thick for row in range(len(labels))]
        drawn = axes.barh(heights, series.values(), thick * 0.9, label=name, hatch=hatch, edgecolor="white")
        axes.bar_label(drawn, fmt="%.3g", padding=3, fontsize=8)
    axes.set(title=title, xlabel=measure, yticks=[row + 0.4 - thick / 2 for row in range(len(labels))])
    axes.set_yticklabels(labels, parse_math=False)
    axes.invert_yaxis()
    axes.margins(x=0.12)
    if len(values) > 1:
        axes.legend(fontsize=8)
    said = "; ".join(
        f"{name}: {', '.join(f'{label} {number:.3g}' for label, number in series.items())}"
        for name, series in values.items()
    )
    return picture(figure, f"{title}, {measure}. {said}.")


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
