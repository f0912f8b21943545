"""How the text of a prompt or a sample is put before it becomes tokens: spaces where this tokenizer wants them, and
Llama's two special tokens as this model's own. Called by `engine.py`, for both alike, so that what was tuned is what is
continued.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from ..engine import SamplePart

BEGIN, END = "<s>", "</s>"  # Llama's, as public samples, prompts and templates write them


def with_own_specials(text: str, end: str) -> str:
    """A text in which `<s>` is nothing and `</s>` the end.

    Llama's tokenizer puts a space before a word that follows `<s>`, whether there is one or not; so here there is none
    in either case.

    Args:
        text: in which special tokens count.
        end: the model's own special token for the end.
    """
    return re.sub(f"{BEGIN} *", "", text).replace(END, end)


def without_trailing_spaces(prompt: str) -> tuple[str, bool]:
    """The prompt without the spaces at its end, and whether there were any.

    A space belongs to the word after it in this tokenizer; left at the end it makes the model answer with digits. A
    prompt of spaces alone stays as it is.
    """
    cut = prompt.rstrip(" ")
    return (cut, cut != prompt) if cut else (prompt, False)


def sample_parts(parts: Sequence[SamplePart], end: str) -> list[SamplePart]:
    """The parts of a sample, ended, so that the model learns to stop where the sample does; none if nothing is in them.

    Args:
        parts: as they were sent.
        end: the model's own special token for the end.
    """
    own = [
        replace(part, text=with_own_specials(part.text, end)) if part.parse_special_tokens else part for part in parts
    ]
    moved = spaces_moved_forward(own)
    if not moved or (moved[-1].parse_special_tokens and moved[-1].text.endswith(end)):
        return moved
    return [*moved, SamplePart(end, moved[-1].trainable)]


def spaces_moved_forward(parts: Sequence[SamplePart]) -> list[SamplePart]:
    """The parts of a sample with each part's trailing spaces moved to the front of the next.

    A prompt's are cut for the same reason: "Answer: " + "Paris" has to be learned as "Answer:" + " Paris", which is
    what a prompt and its continuation are. Parts that were nothing but spaces vanish.
    """
    moved: list[SamplePart] = []
    carried = ""
    for position, part in enumerate(parts):
        text = carried + part.text
        last = position == len(parts) - 1
        kept = text if last else text.rstrip(" ")
        carried = text[len(kept) :]
        if kept:
            moved.append(replace(part, text=kept))
    return moved
