"""The prompt of a question that is answered from passages. Called by `calls.py`."""

from __future__ import annotations

from collections.abc import Sequence

from .chunkers import first_words, words_in
from .collections import Passage

MAX_WORDS = 700  # of the passages together; with question and answer they have to fit the model's context


def prompt(passages: Sequence[Passage], question: str) -> str:
    """Passages and a question as one prompt for the chat template.

    Args:
        passages: the likest first; as many as fit are used. One that is too long by itself is cut to what follows the
            place that was found.
        question: what was asked.
    """
    room, kept = MAX_WORDS, []
    for passage in passages:
        words = words_in(passage.content)
        if kept and words > room:
            break
        kept.append(passage.content if words <= room else first_words(passage.content[passage.start :], room))
        room -= words
    return "Context:\n" + "\n\n".join(kept) + f"\n\nAnswer the question from the context.\nQuestion: {question}"
