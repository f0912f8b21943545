"""What a benchmark finds, and the table made of it: medians, ratios, goals. Used by every benchmark and `__main__.py`.

A row's figures come in pairs that were measured one after the other, ours, peer, ours, peer. Its ratio is the median of
the pairs' ratios, not the ratio of the medians: what slows the machine for a while slows both halves of a pair.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from statistics import median

BEGIN, END = "<!-- bench: begin -->", "<!-- bench: end -->"


@dataclass
class Row:
    """One line of the table.

    Attributes:
        what: what was measured; tells a row from all others.
        ours: figures, at least one.
        unit: of all figures ("s", "tokens/s", "of 26").
        peer: the figures to compare with, as many as ours, or none.
        peer_name: what the peer is.
        difference: compare by ours - peer instead of ours / peer.
        at_most: the goal, for the comparison if there is a peer and for our median if not.
        at_least: the same, from below.
        note: what else was seen.
    """

    what: str
    ours: list[float]
    unit: str = "s"
    peer: list[float] = field(default_factory=list)
    peer_name: str = ""
    difference: bool = False
    at_most: float | None = None
    at_least: float | None = None
    note: str = ""

    def __post_init__(self) -> None:
        if not self.ours or (self.peer and len(self.peer) != len(self.ours)):
            raise ValueError(f"{self.what}: needs figures, and as many of the peer's as of ours")

    @property
    def comparison(self) -> float | None:
        """The median of the pairs' ratios or differences, or None without a peer."""
        if not self.peer:
            return None
        pairs = zip(self.ours, self.peer, strict=True)
        return median(ours - peer if self.difference else ours / peer for ours, peer in pairs)

    @property
    def met(self) -> bool | None:
        """Whether the goal is met, or None if there is none."""
        if self.at_most is None and self.at_least is None:
            return None
        figure = self.comparison if self.peer else median(self.ours)
        return (self.at_most is None or figure <= self.at_most) and (self.at_least is None or figure >= self.at_least)

    def as_json(self) -> dict:
        """The row for the file of results, with what follows from its figures for readers without this module."""
        found = {"median": median(self.ours), "comparison": self.comparison, "met": self.met}
        return {**asdict(self), **found, "peer_median": median(self.peer) if self.peer else None}

    @classmethod
    def from_json(cls, saved: dict) -> Row:
        """The row that `as_json` saved."""
        return cls(**{name: saved[name] for name in cls.__dataclass_fields__})


def table(rows: Sequence[Row], before: Sequence[Row] = ()) -> str:
    """A Markdown table.

    Args:
        rows: what was found.
        before: rows of an earlier run; if given, a column shows their figures beside those of the same name.
    """
    earlier = {row.what: row for row in before}
    head = ["what", *(["before"] if before else []), "here", "compared with", "ratio", "goal"]
    lines = [head, ["---"] * len(head)]
    for row in rows:
        old = [_figure(earlier[row.what]) if row.what in earlier else ""] if before else []
        lines.append([row.what, *old, _figure(row), _peer(row), _comparison(row), _goal(row)])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def notes(rows: Sequence[Row]) -> str:
    """The rows' notes as a list."""
    return "\n".join(f"- {row.what}: {row.note}" for row in rows if row.note)


def put_between_markers(page: str, text: str) -> str:
    """The page with the text between its two markers.

    Raises:
        ValueError: the page has not exactly one of each, in order.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end) or BEGIN in rest or END in before + after:
        raise ValueError(f"the page needs one line {BEGIN} and after it one line {END}")
    return f"{before}{BEGIN}\n{text}\n{END}{after}"


def number(value: float) -> str:
    """Three digits at the least and no exponent: 1234, 98.1, 4.56, 0.789; whole numbers as they are."""
    if value == int(value):
        return str(int(value))
    size = abs(value)
    return f"{value:.{0 if size >= 100 else 1 if size >= 10 else 2 if size >= 1 else 3}f}"


def _figure(row: Row) -> str:
    return f"{number(median(row.ours))} {row.unit}"


def _peer(row: Row) -> str:
    return f"{number(median(row.peer))} {row.unit}, {row.peer_name}" if row.peer else ""


def _comparison(row: Row) -> str:
    if row.comparison is None:
        return ""
    sign = "+" if row.difference and row.comparison >= 0 else ""
    return f"{sign}{number(row.comparison)} {row.unit}" if row.difference else number(row.comparison)


def _goal(row: Row) -> str:
    if row.met is None:
        return ""
    unit = "" if row.peer and not row.difference else f" {row.unit}"
    bounds = (("at most", row.at_most), ("at least", row.at_least))
    said = " and ".join(f"{word} {number(bound)}{unit}" for word, bound in bounds if bound is not None)
    return f"{said}: {'met' if row.met else '**missed**'}"
