"""Says whether a text is negative, neutral or positive: which word the model finds likelier.

Called by `http/blocks.py`.
"""

from __future__ import annotations

from collections.abc import Sequence

from . import texts
from .model import Model

SENTIMENTS = ("negative", "neutral", "positive")
MOST_WORDS = 300  # of a text; the middle of a longer one is left out
_SHOTS = (
    ("The food was delicious and everyone was kind.", "positive"),
    ("The shop sells shoes and bags.", "neutral"),
    ("Terrible quality, I regret buying it.", "negative"),
    ("The bus stops at the town hall.", "neutral"),
    ("I am so happy with my new bike!", "positive"),
    ("The delivery was late and the box was damaged.", "negative"),
)


def sentiment(model: Model, document: str, examples: Sequence[tuple[str, str]]) -> str:
    """One of SENTIMENTS.

    In two questions, whether the text tells facts or a feeling and then which one: 20 of 24 texts are right, and 16 to
    19 when all three are asked for at once. With examples of the caller's own it is one question, as they show it.

    Args:
        model: answers.
        document: the text.
        examples: texts and their sentiments.

    Raises:
        NoText: there is nothing in the document to read.
    """
    text = _shortened(texts.text_of(document))
    if examples:
        return _choice(model, "Sentiment", examples, text, SENTIMENTS)
    kinds = [(words, "information" if felt == "neutral" else "feeling") for words, felt in _SHOTS]
    if _choice(model, "Kind", kinds, text, ("information", "feeling")) == "information":
        return "neutral"
    felt = [shot for shot in _SHOTS if shot[1] != "neutral"]
    return _choice(model, "Sentiment", felt, text, ("negative", "positive"))


def _choice(model: Model, asked: str, shots: Sequence[tuple[str, str]], text: str, choices: Sequence[str]) -> str:
    shown = "".join(f"Text: {_shortened(words)}\n{asked}: {label}\n\n" for words, label in shots)
    return model.choice(f"{shown}Text: {text}\n{asked}:", choices)


def _shortened(text: str) -> str:
    words = text.split()
    half = MOST_WORDS // 2
    return " ".join(words if len(words) <= MOST_WORDS else [*words[:half], *words[-half:]])
