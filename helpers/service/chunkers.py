"""Cuts a text into passages, in the four ways of the Gradient API. A passage is what a search finds.

Sizes are counted in words; a character of a script without spaces counts as one. A passage is a stretch of the text,
verbatim, and ends where a sentence ends unless that sentence alone is longer than the size. Called by `ingestion.py`,
which fetches the vectors of the texts that `texts_to_compare` names and hands them to `split`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

DEFAULT_SIZE = 100  # four of these and a question are a prompt that the small model still answers from
DEFAULT_OVERLAP = 20

# Chinese, Japanese and Korean characters, each a word; else what stands between spaces, in pieces that end somewhere.
_WORD = re.compile(r"[\u2e80-\u9fff\uac00-\ud7a3\uf900-\ufaff]|[^\s\u2e80-\u9fff\uac00-\ud7a3\uf900-\ufaff]{1,40}")
_BORDER = re.compile(r"""(?:[.!?…]+["'”’)\]]*\s+|[。！？]+["'”’」』）]*\s*|\s*\n\s*\n\s*)""")


@dataclass(frozen=True)
class FileChunker:
    """A file is one passage."""

    kind: ClassVar[str] = "fileChunker"


@dataclass(frozen=True)
class NormalChunker:
    """As many sentences as fit, and again from a little before where the last passage ended.

    Attributes:
        size: words of a passage, at most.
        overlap: words at the end of a passage, at most, that the next one repeats.
    """

    kind: ClassVar[str] = "normalChunker"
    size: int = DEFAULT_SIZE
    overlap: int = DEFAULT_OVERLAP


@dataclass(frozen=True)
class SentenceWithContextChunker:
    """One sentence is searched for; the passage is that sentence with its neighbours.

    Attributes:
        context_sentences: how many on each side.
        size, overlap: how sentences that are too long are cut.
    """

    kind: ClassVar[str] = "sentenceWithContextChunker"
    context_sentences: int = 1
    size: int = DEFAULT_SIZE
    overlap: int = DEFAULT_OVERLAP


@dataclass(frozen=True)
class MeaningBasedChunker:
    """Passages end where the meaning changes: between the groups of sentences that are least alike.

    Attributes:
        similiarity_percent_threshold: the share, in per cent, of borders between groups that are none between passages.
            So spelled in the Gradient API.
        sentence_group_length: how many sentences are compared together.
        size, overlap: how passages that are too long are cut.
    """

    kind: ClassVar[str] = "meaningBasedChunker"
    similiarity_percent_threshold: int = 80
    sentence_group_length: int = 1
    size: int = DEFAULT_SIZE
    overlap: int = DEFAULT_OVERLAP


Chunker = FileChunker | NormalChunker | SentenceWithContextChunker | MeaningBasedChunker
KINDS = {one.kind: one for one in (FileChunker, NormalChunker, SentenceWithContextChunker, MeaningBasedChunker)}


@dataclass(frozen=True)
class Chunk:
    """A passage of a file.

    Attributes:
        content: what the passage says.
        searched: the part of it, verbatim, that a question is compared with.
    """

    content: str
    searched: str


@dataclass(frozen=True)
class _Span:
    """A stretch of a text, and how many words it has."""

    start: int
    end: int
    words: int


def made(kind: str, numbers: dict[str, int | None]) -> Chunker:
    """A chunker by its kind and those of its numbers that were chosen; a default overlap never exceeds the size."""
    given = {name: value for name, value in numbers.items() if value is not None}
    if "size" in given:
        given.setdefault("overlap", min(DEFAULT_OVERLAP, given["size"] // 5))
    return KINDS[kind](**given)


def as_dict(chunker: Chunker) -> dict[str, Any]:
    """A chunker as JSON: its kind and every number."""
    return {"kind": chunker.kind, **asdict(chunker)}


def words_in(text: str) -> int:
    """How many words a text has."""
    return sum(1 for _ in _WORD.finditer(text))


def first_words(text: str, count: int) -> str:
    """The beginning of a text, as far as its `count`-th word."""
    end = 0
    for number, word in enumerate(_WORD.finditer(text)):
        if number == count:
            return text[:end]
        end = word.end()
    return text


def pieces(text: str, size: int) -> list[str]:
    """A text in pieces of at most `size` words, cut at sentences where that is possible."""
    return [_text(text, span) for span in _packed(_sentences(text, size), size, 0)]


def texts_to_compare(text: str, chunker: Chunker) -> list[str]:
    """The texts whose vectors `split` needs; most chunkers need none.

    Args:
        text: of a file.
        chunker: which cuts it.
    """
    if not isinstance(chunker, MeaningBasedChunker):
        return []
    return [_text(text, group) for group in _groups(text, chunker)]


def sentences(text: str, size: int) -> list[str]:
    """The sentences of a text as they stand in it, each of at most so many words.

    Args:
        text: any.
        size: of a sentence, in words, at most; longer ones are cut.
    """
    return [_text(text, span) for span in _sentences(text, size)]


def split(text: str, chunker: Chunker, vectors: Sequence[Sequence[float]] = ()) -> list[Chunk]:
    """The passages of a text, in their order.

    Args:
        text: it.
        chunker: how to cut.
        vectors: those of `texts_to_compare`, of length 1.
    """
    if isinstance(chunker, FileChunker):
        whole = text.strip()
        return [Chunk(whole, whole)] if whole else []
    if isinstance(chunker, SentenceWithContextChunker):
        return _sentences_with_context(text, chunker)
    if isinstance(chunker, MeaningBasedChunker):
        spans = _by_meaning(text, chunker, vectors)
    else:
        spans = _packed(_sentences(text, chunker.size), chunker.size, chunker.overlap)
    return [Chunk(content, content) for content in (_text(text, span) for span in spans)]


def _sentences_with_context(text: str, chunker: SentenceWithContextChunker) -> list[Chunk]:
    spans = _sentences(text, chunker.size, chunker.overlap)
    chunks = []
    for at, span in enumerate(spans):
        around = spans[max(0, at - chunker.context_sentences) : at + chunker.context_sentences + 1]
        chunks.append(Chunk(text[around[0].start : around[-1].end], _text(text, span)))
    return chunks


def _by_meaning(text: str, chunker: MeaningBasedChunker, vectors: Sequence[Sequence[float]]) -> list[_Span]:
    groups = _groups(text, chunker)
    pairs = zip(vectors[:-1], vectors[1:], strict=True)
    alike = [sum(a * b for a, b in zip(one, other, strict=True)) for one, other in pairs]
    borders = math.floor(len(alike) * (100 - chunker.similiarity_percent_threshold) / 100 + 0.5)
    cut_after = set(sorted(range(len(alike)), key=alike.__getitem__)[:borders])
    spans, run = [], []
    for at, group in enumerate(groups):
        run.append(group)
        if at in cut_after or at == len(groups) - 1:
            stretch = text[run[0].start : run[-1].end]
            for span in _packed(_sentences(stretch, chunker.size), chunker.size, chunker.overlap):
                spans.append(_Span(run[0].start + span.start, run[0].start + span.end, span.words))
            run = []
    return spans


def _groups(text: str, chunker: MeaningBasedChunker) -> list[_Span]:
    spans, length = _sentences(text, chunker.size), chunker.sentence_group_length
    runs = [spans[at : at + length] for at in range(0, len(spans), length)]
    return [_Span(run[0].start, run[-1].end, sum(span.words for span in run)) for run in runs]


def _packed(sentences: list[_Span], size: int, overlap: int) -> list[_Span]:
    """As many sentences together as fit, each run beginning with the end of the one before as far as that fits too."""
    spans: list[_Span] = []
    run: list[_Span] = []
    for sentence in sentences:
        if run and _words(run) + sentence.words > size:
            spans.append(_Span(run[0].start, run[-1].end, _words(run)))
            while run and (_words(run) > overlap or _words(run) + sentence.words > size):
                run.pop(0)
        run.append(sentence)
    return [*spans, _Span(run[0].start, run[-1].end, _words(run))] if run else spans


def _words(run: list[_Span]) -> int:
    return sum(span.words for span in run)


def _sentences(text: str, size: int, overlap: int = 0) -> list[_Span]:
    """The sentences of a text; one of more than `size` words in pieces that share `overlap` words."""
    spans, start = [], 0
    for border in (*_BORDER.finditer(text), None):
        end = border.end() if border else len(text)
        words = [(start + word.start(), start + word.end()) for word in _WORD.finditer(text[start:end])]
        for at in range(0, max(1, len(words) - overlap) if words else 0, size - overlap):
            piece = words[at : at + size]
            spans.append(_Span(piece[0][0], piece[-1][1], len(piece)))
        start = end
    return spans


def _text(text: str, span: _Span) -> str:
    return text[span.start : span.end]
