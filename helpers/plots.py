"""Figures of the lessons, each with a text that says what it shows to those who can't see it.

Called by notebooks. matplotlib is imported when the first figure is drawn.
"""

from __future__ import annotations

import base64
import html
import io
import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .colours import BLUE, INK, SERIES
from .errors import BadInput
from .language import _

if TYPE_CHECKING:
    from IPython.display import HTML
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Matrix = Iterable[Iterable[float]]
"""Rows of numbers; an array is one."""


def loss_curve(losses: Sequence[float], title: str | None = None, each: str | None = None) -> HTML:
    """The mean loss per trainable token over a series of fine_tune calls or steps, on a logarithmic scale.

    Args:
        losses: one value per call, in nats: sum_loss / number_of_trainable_tokens.
        title: what the figure says above the curve; by default, that it is the mean loss before each fine_tune call.
        each: what there is a loss for, by default a fine_tune call.

    Returns:
        A picture to show as a cell's last value.

    Raises:
        BadInput: there are no losses, or one is not positive.
    """
    if not losses or min(losses) <= 0:
        raise BadInput(_("loss_curve needs at least one loss, all above 0: sum_loss / number_of_trainable_tokens"))
    from matplotlib.figure import Figure

    title = title or _("Mean loss before each fine_tune call")
    things = _("calls") if each is None else f"{each.split()[-1]}s"
    figure = Figure(figsize=(6, 3), layout="constrained")
    axes = figure.subplots()
    calls = range(1, len(losses) + 1)
    axes.plot(calls, losses, marker="o", color=BLUE)
    axes.set(
        xlabel=each or _("fine_tune call"), ylabel=_("nats per token"), title=title, yscale="log", xticks=list(calls)
    )
    axes.grid(color=INK, alpha=0.3)
    first, last = f"{losses[0]:.2f}", f"{losses[-1]:.3f}"
    return picture(
        figure,
        _(
            "{title}: {count} {things}, from {first} down to {last} nats per token.",
            title=title,
            count=len(losses),
            things=things,
            first=first,
            last=last,
        ),
    )


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
        raise ValueError(_("bars needs at least one series, and the same labels in each: {'name': {'label': 1.0}}"))
    from matplotlib.figure import Figure

    thick = 0.8 / len(values)
    figure = Figure(figsize=(6.5, 1.1 + len(labels) * (0.12 + 0.22 * len(values))), layout="constrained")
    axes = figure.subplots()
    looks = zip(SERIES, ("", "//", "..", "xx", "--"), strict=True)
    for place, ((name, series), (colour, hatch)) in enumerate(zip(values.items(), looks, strict=False)):
        heights = [row + place * thick for row in range(len(labels))]
        bar: dict[str, Any] = {"color": colour, "hatch": hatch, "edgecolor": "white", "linewidth": 0}
        drawn = axes.barh(heights, list(series.values()), thick * 0.9, label=name, **bar)
        axes.bar_label(drawn, fmt="%.3g", padding=3, fontsize=9, color=INK)
    axes.set(title=title, xlabel=measure, yticks=[row + 0.4 - thick / 2 for row in range(len(labels))])
    axes.set_yticklabels(labels, parse_math=False)
    axes.invert_yaxis()
    axes.margins(x=0.12)
    if len(values) > 1:
        _add_legend(figure)
    said = "; ".join(
        f"{name}: {', '.join(f'{label} {number:.3g}' for label, number in series.items())}"
        for name, series in values.items()
    )
    return picture(figure, f"{title}, {measure}. {said}.")


def picture(figure: Figure, alt: str) -> HTML:
    """A figure as a PNG with an alternative text, in INK and without a background: it reads on light and dark pages.

    It is an HTML image: JupyterLab shows the alternative text of a plain image output to no one.

    Args:
        figure: a matplotlib figure.
        alt: what it shows, in a sentence.
    """
    from IPython.display import HTML

    _draw_in_ink(figure)
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=100, transparent=True, metadata={"Software": None})
    source = base64.b64encode(png.getvalue()).decode("ascii")
    return HTML(f'<img alt="{html.escape(alt)}" src="data:image/png;base64,{source}">')


def heat_maps(
    matrices: Mapping[str, Matrix], rows: Sequence[str] = (), columns: Sequence[str] = (), digits: int | None = None
) -> HTML:
    """Matrices beside each other, a square for each number: the deeper red, the further above 0, the deeper blue, the
    further below. All share one scale.

    Args:
        matrices: what to show, by name.
        rows, columns: what stands beside the rows and under the columns of each, if anything.
        digits: decimals of the numbers that are written into the squares; without it none are.

    Returns:
        A picture to show as a cell's last value.

    Raises:
        BadInput: there is no matrix, or one has no numbers.
    """
    tables = {name: [[float(value) for value in row] for row in matrix] for name, matrix in matrices.items()}
    if not tables or not all(table and table[0] for table in tables.values()):
        raise BadInput(_("heat_maps needs at least one matrix with numbers: {'name': [[1.0, 2.0], [3.0, 4.0]]}"))
    numbers = [value for table in tables.values() for row in table for value in row]
    most = max(map(abs, numbers)) or 1.0
    colours, least = ("RdBu_r", -most) if min(numbers) < 0 else ("Reds", 0.0)
    figure, places = _beside(tables, 0.2 if digits is None else 0.4)
    for axes, (name, table) in zip(places, tables.items(), strict=True):
        shown = axes.imshow(table, cmap=colours, vmin=least, vmax=most)
        _name_squares(axes, name, rows, columns)
        if digits is not None:
            _write_numbers(axes, table, most, digits)
    figure.colorbar(shown, ax=places)
    return picture(
        figure,
        _("Heat maps: {items}.", items="; ".join(f"{name}, {_in_words(table)}" for name, table in tables.items())),
    )


def confusions(tables: Mapping[str, Sequence[tuple[str, str]]], classes: Sequence[str]) -> HTML:
    """What a classifier said, against what was right: a square for each pair of the two, with how often it came. What
    is right lies on the diagonal.

    Args:
        tables: for each classifier, by name, the right class and the class that it said, of each text.
        classes: all there are, in the order in which they are shown.

    Returns:
        A picture to show as a cell's last value.

    Raises:
        BadInput: there is no table, one is empty, or has a class that is not among them.
    """
    strange = {name for pairs in tables.values() for pair in pairs for name in pair} - set(classes)
    if strange or not tables or not all(tables.values()):
        raise BadInput(
            _("confusions needs pairs of classes, all among {classes}, for each classifier", classes=", ".join(classes))
        )
    counts = {
        name: [[pairs.count((one, other)) for other in classes] for one in classes] for name, pairs in tables.items()
    }
    figure, places = _beside(counts, 0.5)
    words = []
    for axes, (name, table) in zip(places, counts.items(), strict=True):
        right, total = sum(table[at][at] for at in range(len(classes))), len(tables[name])
        most = max(map(max, table))
        axes.imshow(table, cmap="Blues", vmin=0, vmax=most)
        _name_squares(axes, _("{name}: {right} of {total}", name=name, right=right, total=total), classes, classes)
        axes.set(xlabel=_("said"), ylabel=_("right"))
        _write_numbers(axes, table, most, 0)
        words.append(_score(table, classes, name=name, right=right, total=total))
    return picture(figure, _("Confusion tables: {words}.", words="; ".join(words)))


def points(groups: Mapping[str, Sequence[tuple[float, float]]], title: str, seen: str) -> HTML:
    """Points in a plane, a colour and a shape for each group.

    Args:
        groups: the points of each, by name.
        title: what the figure says above them.
        seen: where they lie, in a sentence, for those who can't see it.

    Returns:
        A picture to show as a cell's last value.

    Raises:
        BadInput: there is no group, or one has no points.
    """
    if not groups or not all(len(group) for group in groups.values()):
        raise BadInput(_("points needs at least one group with points: {'name': [(1.0, 2.0)]}"))
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4.4), layout="constrained")
    axes = figure.subplots()
    looks = itertools.cycle(zip(SERIES, "os^Dv", strict=True))
    for (name, group), (colour, marker) in zip(groups.items(), looks, strict=False):
        axes.scatter(*zip(*group, strict=True), label=name, marker=marker, color=colour, alpha=0.8)
    axes.set(title=title, xticks=[], yticks=[])
    _add_legend(figure)
    counts = ", ".join(_("{count} of {name}", count=len(group), name=name) for name, group in groups.items())
    return picture(figure, _("{title}. Points: {counts}. {seen}", title=title, counts=counts, seen=seen))


def _draw_in_ink(figure: Figure) -> None:
    """Gives all that stands around what is drawn the colour that reads on light and dark."""
    for axes in figure.axes:
        axes.tick_params(which="both", colors=INK)
        axes.spines[:].set_color(INK)
        for written in (axes.title, axes.xaxis.label, axes.yaxis.label):
            written.set_color(INK)


def _add_legend(figure: Figure) -> None:
    """Below all that is drawn: without a background, a legend that lies on something can't be read."""
    figure.legend(loc="outside lower center", ncols=2, fontsize=9, labelcolor=INK, frameon=False)


def _beside(tables: Mapping[str, Sequence[Sequence[float]]], square: float) -> tuple[Figure, Sequence[Axes]]:
    """A figure with a place for each of these, as wide as it has columns; a square is so many inches wide."""
    from matplotlib.figure import Figure

    wide = [max(len(table[0]), 2) for table in tables.values()]
    high = max(len(table) for table in tables.values())
    size = (2.0 + len(tables) * 0.6 + square * sum(wide), 1.2 + square * high)
    figure = Figure(figsize=size, layout="constrained")
    return figure, figure.subplots(1, len(tables), squeeze=False, width_ratios=wide)[0]


def _name_squares(axes: Axes, title: str, rows: Sequence[str], columns: Sequence[str]) -> None:
    axes.set_title(title, fontsize="medium")
    axes.set_yticks(range(len(rows)), rows)
    axes.set_xticks(range(len(columns)), columns, rotation=45, ha="right", rotation_mode="anchor")


def _write_numbers(axes: Axes, table: Sequence[Sequence[float]], most: float, digits: int) -> None:
    """Each number in its square, white on a dark one."""
    for y, row in enumerate(table):
        for x, value in enumerate(row):
            colour = "white" if abs(value) > 0.6 * most else "black"
            axes.text(x, y, f"{value:.{digits}f}", ha="center", va="center", color=colour, fontsize="small")


def _in_words(table: Sequence[Sequence[float]]) -> str:
    """How large a matrix is, and what is in it."""
    values = [value for row in table for value in row]
    size = {"rows": len(table), "columns": len(table[0])}
    if not any(values):
        return _("{rows} rows and {columns} columns, all 0", **size)
    ends = {"least": min(values), "most": max(values)}
    return _("{rows} rows and {columns} columns, from {least:.2f} to {most:.2f}", **size, **ends)


def _score(table: Sequence[Sequence[int]], classes: Sequence[str], **score: Any) -> str:
    """How many are right, and the pair that is mixed up most often, if any is."""
    wrong = {(one, other): table[x][y] for x, one in enumerate(classes) for y, other in enumerate(classes) if x != y}
    (one, other), times = max(wrong.items(), key=lambda pair: pair[1])
    if not times:
        return _("{name} {right} of {total} right", **score)
    return _(
        "{name} {right} of {total} right, most often wrong is {other} for {one}, {times} times",
        other=other,
        one=one,
        times=times,
        **score,
    )
