"""The text file in which a translator works: the English text of each cell, and below it the translation.

    @@ cell-012 changed
    ~ `length` is the other finish reason.

    `length` es el otro motivo.

Called by `__main__.py`. Links are those of the English lesson, so that a translator copies them.
"""

from __future__ import annotations

import re

from nbformat import NotebookNode

from .edition import MADE_FROM, Translation, fingerprint, links_of_english, states

HEAD = """\
# {lesson} in {language}. Each block begins with "@@", the cell's id and its state; lines with "~" are its English text.
# Write the translation below them; leave links, code and the first two kinds of lines as they are. A block with nothing
# below stays English.
"""


def export(lesson: str, language: str, english: NotebookNode, edition: NotebookNode) -> str:
    """A sheet with every cell of prose, each with what there is of its translation.

    Args:
        lesson: its file's name.
        language: the edition's.
        english: the lesson.
        edition: what `take_over` made of it.
    """
    blocks = [HEAD.format(lesson=lesson, language=language)]
    for cell, translated, state in states(english, edition):
        original = "\n".join(f"~ {line}".rstrip() for line in cell.source.strip().splitlines())
        text = links_of_english(translated.source) if MADE_FROM in translated.metadata else ""
        blocks.append(f"@@ {cell.id} {state}\n{original}\n\n{text.strip()}\n")
    return "\n".join(blocks)


def read(text: str) -> list[Translation]:
    """What a sheet says, without the blocks that are not translated. Each is made from the English text in it."""
    found = []
    for block in re.split(r"^@@ ", text, flags=re.MULTILINE)[1:]:
        head, *lines = block.split("\n")
        original = [line[2:] for line in lines if re.match(r"~( |$)", line)]
        written = "\n".join(line for line in lines if not re.match(r"~( |$)", line)).strip()
        if written:
            found.append(Translation(head.split()[0], fingerprint("\n".join(original)), written))
    return found
