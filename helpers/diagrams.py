"""The diagrams of the lessons and the README, drawn by code: `python -m helpers.diagrams` writes `notebooks/pictures`.

SVG of boxes and arrows, in colours that read on white and on black, with a title and a description inside for
those who can't see it. A test draws them anew and compares.
"""

from __future__ import annotations

import html
from dataclasses import dataclass
from pathlib import Path

from .colours import BLUE, FAINT, GREEN, INK, ORANGE

FOLDER = Path(__file__).parents[1] / "notebooks" / "pictures"
HEAD = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
    'role="img" font-family="sans-serif" font-size="14" text-anchor="middle">\n<title>{title}</title>\n'
    f"<desc>{{desc}}</desc>\n<style>text {{{{ fill: {INK} }}}} .small {{{{ font-size: 12px }}}}</style>\n"
    '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" '
    f'orient="auto"><path d="M0 0 8 4 0 8z" fill="{INK}"/></marker></defs>\n'
)


@dataclass(frozen=True)
class Box:
    """A box with a name and a line of smaller text, by its corner and its size in pixels."""

    x: int
    y: int
    width: int
    height: int
    name: str
    small: str = ""
    colour: str = BLUE

    def svg(self) -> str:
        """The box as SVG."""
        middle, centre = self.x + self.width // 2, self.y + self.height // 2
        shape = f'<rect x="{self.x}" y="{self.y}" width="{self.width}" height="{self.height}" rx="8"'
        style = f' fill="{self.colour}{FAINT}" stroke="{self.colour}" stroke-width="1.5"/>'
        first = centre - 3 if self.small else centre + 5
        text = f'<text x="{middle}" y="{first}" font-weight="bold">{html.escape(self.name)}</text>'
        small = f'<text class="small" x="{middle}" y="{centre + 15}">{html.escape(self.small)}</text>'
        return shape + style + text + (small if self.small else "")


def arrow(x: int, y: int, to_x: int, to_y: int, word: str = "") -> str:
    """An arrow, with a word above its middle, or beside it if it goes down.

    Args:
        x, y: where it begins, in pixels from the top left.
        to_x, to_y: where its head is.
    """
    line = f'<path d="M{x} {y} {to_x} {to_y}" stroke="{INK}" stroke-width="2" fill="none" marker-end="url(#tip)"/>'
    beside, above = (34, -4) if x == to_x else (0, 7 + abs(y - to_y) // 5)
    said = (
        f'<text class="small" x="{(x + to_x) // 2 + beside}" y="{(y + to_y) // 2 - above}">{html.escape(word)}</text>'
    )
    return line + (said if word else "")


def drawing(title: str, desc: str, size: tuple[int, int], *parts: str | Box) -> str:
    """A whole SVG file.

    Args:
        title, desc: what screen readers say of it, in short and at length.
        size: width and height in pixels.
    """
    head = HEAD.format(width=size[0], height=size[1], title=html.escape(title), desc=html.escape(desc))
    return head + "\n".join(part.svg() if isinstance(part, Box) else part for part in parts) + "\n</svg>\n"


def system() -> str:
    """The whole system."""
    return drawing(
        "The whole system",
        "A notebook calls the helpers and the gradientai SDK; these call the local service over HTTP; it completes "
        "with llama.cpp, fine-tunes with numpy, and keeps adapters as files.",
        (760, 230),
        Box(10, 80, 150, 70, "Notebook", "lessons, forms"),
        Box(220, 20, 170, 60, "helpers", "chains, plots", GREEN),
        Box(220, 150, 170, 60, "gradientai SDK", "unmodified", GREEN),
        Box(460, 80, 130, 70, "Local service", "on your machine", ORANGE),
        Box(640, 10, 110, 56, "llama.cpp", "completes"),
        Box(640, 87, 110, 56, "numpy", "fine-tunes"),
        Box(640, 164, 110, 56, "adapters", "files"),
        arrow(160, 105, 218, 60),
        arrow(160, 125, 218, 170),
        arrow(305, 80, 305, 148),
        arrow(390, 170, 458, 130, "HTTP"),
        arrow(590, 100, 638, 45),
        arrow(590, 115, 638, 115),
        arrow(590, 130, 638, 185),
    )


def chain() -> str:
    """A chain: template, model, parser."""
    return drawing(
        "A chain",
        "A question goes into a prompt template, the prompt into the model, its text into a parser: an answer.",
        (760, 110),
        arrow(10, 60, 108, 60, "question"),
        Box(110, 25, 140, 70, "template", "fills the holes", GREEN),
        arrow(250, 60, 328, 60, "prompt"),
        Box(330, 25, 140, 70, "model", "continues it", BLUE),
        arrow(470, 60, 538, 60, "text"),
        Box(540, 25, 120, 70, "parser", "reads it", GREEN),
        arrow(660, 60, 750, 60, "answer"),
    )


def lora() -> str:
    """LoRA: two thin matrices beside a big one."""
    return drawing(
        "LoRA",
        "The input goes through a big matrix that stays as it is, and beside it through two thin ones that learn; the "
        "two results are added.",
        (620, 250),
        arrow(10, 125, 88, 125, "input"),
        f'<path d="M90 125V60H148M90 125V200H148" stroke="{INK}" stroke-width="2" fill="none"/>',
        Box(150, 10, 200, 110, "W, 1536 × 576", "884,736 numbers, frozen", INK),
        Box(150, 155, 70, 90, "A", "8 × 576", ORANGE),
        Box(262, 155, 88, 90, "B", "1536 × 8", ORANGE),
        arrow(220, 200, 260, 200),
        f'<path d="M350 65H430V108M350 200H430V142" stroke="{INK}" stroke-width="2" fill="none"/>',
        Box(412, 107, 36, 36, "+", "", GREEN),
        arrow(448, 125, 540, 125, "output"),
        '<text class="small" x="490" y="235">A and B: 16,896 numbers, learned</text>',
    )


def retrieval() -> str:
    """Retrieval: the nearest passage goes into the prompt."""
    return drawing(
        "Retrieval",
        "Texts become vectors and are kept; a question becomes a vector as well; the nearest texts go into the prompt "
        "with the question, and the model reads the answer there.",
        (760, 210),
        Box(10, 20, 110, 60, "texts", "passages", GREEN),
        Box(10, 130, 110, 60, "question", "", GREEN),
        Box(180, 75, 130, 60, "embeddings", "vectors", BLUE),
        Box(370, 20, 130, 60, "store", "of vectors", ORANGE),
        Box(370, 130, 130, 60, "prompt", "facts + question", GREEN),
        Box(580, 130, 110, 60, "model", "reads", BLUE),
        arrow(120, 55, 178, 92),
        arrow(120, 155, 178, 118),
        arrow(310, 95, 368, 58),
        arrow(435, 80, 435, 128, "nearest"),
        f'<path d="M120 175H368" stroke="{INK}" stroke-width="2" fill="none" marker-end="url(#tip)"/>',
        arrow(500, 160, 578, 160),
        arrow(690, 160, 752, 160, "answer"),
    )


DIAGRAMS = {"system.svg": system, "chain.svg": chain, "lora.svg": lora, "retrieval.svg": retrieval}


def main() -> None:
    """Writes all of them."""
    FOLDER.mkdir(exist_ok=True)
    for name, draw in DIAGRAMS.items():
        (FOLDER / name).write_text(draw(), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
