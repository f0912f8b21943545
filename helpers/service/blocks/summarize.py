"""Summarises a document by its own most telling sentences, in their order. Called by `http/blocks.py`.

Asked for a summary in its own words, the model misread a fact or made one up in most of the documents that it was tried
on (tests/bench/TRIED.md); sentences of the document can't be wrong.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from . import texts

SENTENCES = {"short": 1, "medium": 3, "long": 6}
DEFAULT_LENGTH = "medium"
MOST = 12  # sentences, however long the examples are


def summary(document: str, length: str | None, examples: Sequence[str]) -> str:
    """A few sentences of a document.

    Args:
        document: what to summarise.
        length: a key of SENTENCES; None takes the mean length of the examples, or DEFAULT_LENGTH without any.
        examples: summaries of other documents; how long they are counts, and nothing else.

    Raises:
        NoText: there is nothing in the document to read.
    """
    found = texts.sentences(texts.text_of(document))
    kept = sorted(_most_telling(found)[: _how_many(length, examples)])
    return " ".join(found[place] for place in kept)


def _how_many(length: str | None, examples: Sequence[str]) -> int:
    if length is None and examples:
        mean = sum(len(texts.sentences(example)) for example in examples) / len(examples)
        return min(MOST, max(1, round(mean)))
    return SENTENCES[length or DEFAULT_LENGTH]


def _most_telling(found: Sequence[str]) -> list[int]:
    """Places of the sentences, those first whose words are frequent in the document; the opening one before its equals.

    The mean frequency of a sentence's words, as in H. P. Luhn, "The Automatic Creation of Literature Abstracts", 1958;
    a word that a chosen sentence has said counts half for the next.
    """
    counts = Counter(word for sentence in found for word in set(texts.words(sentence)))
    weights = {word: float(count) for word, count in counts.items()}
    left = list(range(len(found)))
    chosen: list[int] = []
    while left and len(chosen) < MOST:
        best = max(left, key=lambda place: (_weight(found[place], weights) * (1.5 if place == 0 else 1), -place))
        chosen.append(best)
        left.remove(best)
        for word in set(texts.words(found[best])):
            weights[word] /= 2
    return chosen


def _weight(sentence: str, weights: dict[str, float]) -> float:
    own = texts.words(sentence)
    return sum(weights[word] for word in own) / (len(own) + 4)  # 4: or the shortest sentences would win
