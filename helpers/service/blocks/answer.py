"""Answers a question from a document or from passages of a collection: with the sentence that answers it, verbatim.

Called by `http/blocks.py`. Asked to answer in its own words, the model invents; the sentence that it should have read
is the honest answer.
"""

from __future__ import annotations

from collections.abc import Sequence

from . import texts

NOTHING = "The document does not say."


def from_document(document: str, question: str) -> str:
    """The sentence of a document that is nearest to a question, or NOTHING if none shares a word with it.

    Raises:
        NoText: there is nothing in the document to read.
    """
    return _best(texts.sentences(texts.text_of(document)), question) or NOTHING


def from_passages(passages: Sequence[str], question: str) -> str:
    """The sentence nearest to a question among passages that a search found, the nearest passage first.

    Passages are found by what they mean, so where none shares a word with the question the first one is the answer.
    """
    found = [sentence for passage in passages for sentence in texts.sentences(passage)]
    return _best(found, question) or passages[0].strip()


def _best(found: Sequence[str], question: str) -> str:
    place, score = texts.ranked(found, question)[0]
    return found[place] if score > 0 else ""
