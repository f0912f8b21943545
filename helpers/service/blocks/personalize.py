"""Rewrites a text for an audience, a few sentences at a time, and keeps to what it says. Called by `http/blocks.py`.

The model may say a thing more simply, leave it out, or make one up. What it made up shows mostly in numbers and names,
so a piece in which one stands that the text does not have is left as it was.
"""

from __future__ import annotations

import re

from . import texts
from .model import Model

PIECE_WORDS = 80
MOST_PIECES = 25
MOST_WORDS = PIECE_WORDS * MOST_PIECES
TOKENS = 160  # for each piece
_FACT = re.compile(r"\d[\d.,:]*\d|\d|(?<=[a-z,;] )[A-Z]\w+")


def personalized(model: Model, document: str, audience: str) -> str:
    """The text for that audience; a piece for which the model finds no faithful words stays as it was.

    Args:
        model: rewrites.
        document: the text.
        audience: whom it is for, in a few words.

    Raises:
        NoText: there is nothing in the document to read.
        TooLong: it has more than MOST_WORDS words.
    """
    text = texts.text_of(document)
    texts.require_at_most(text, MOST_WORDS)
    return " ".join(_rewritten(model, piece, audience) for piece in _pieces(texts.sentences(text)))


def _pieces(sentences: list[str]) -> list[str]:
    pieces: list[str] = []
    for sentence in sentences:
        if pieces and len(f"{pieces[-1]} {sentence}".split()) <= PIECE_WORDS:
            pieces[-1] += f" {sentence}"
        else:
            pieces.append(sentence)
    return pieces


def _rewritten(model: Model, piece: str, audience: str) -> str:
    said = model.answer(
        f"Rewrite the text so that it speaks to {audience}. Keep all facts.\n\nText: {piece}", TOKENS
    ).strip()
    return said if said and _facts(said) <= _facts(f"{piece} {audience}") and _ends(said) else piece


def _facts(text: str) -> set[str]:
    """The numbers and names in a text; a name is a word with a capital inside a sentence."""
    return {fact.lower() for fact in _FACT.findall(text)} - {"i"}


def _ends(text: str) -> bool:
    """Whether a text was not cut off."""
    return text[-1] in ".!?\"'”)…"
