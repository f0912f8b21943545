"""The prompt of a question that is answered from passages. Called by `calls.py`."""

from __future__ import annotations

from collections.abc import Sequence

from .chunkers import first_words, words_in

MAX_WORDS = 700  # of the passages together; with question and answer they have to fit the model's context


def prompt(passages: Sequence[str], question: str) -> str:
    """Passages and a question as one prompt for the chat template.

    Args:
        passages: the likest first; as many as fit are used, and of the first at least its beginning.
        question: what was asked.
    """
    room, kept = MAX_WORDS, []
    for passage in passages:
        if kept and words_in(passage) > room:
            break
        kept.append(first_words(passage, room))
        room -= words_in(kept[-1])
    return "Context:\n" + "\n\n".join(kept) + f"\n\nAnswer the question from the context.\nQuestion: {question}"
