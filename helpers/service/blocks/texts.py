"""What a document says: its text without HTML, its sentences, and those nearest to a question. Used by every block."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from html.parser import HTMLParser

from .. import chunkers
from ..refusals import NoText, TooLong

SENTENCE_WORDS = 100  # a longer one is cut
MOST_CHARACTERS = 400_000  # some two hundred pages; sentences are compared word by word
_HTML = re.compile(r"</?(?:html|body|div|p|span|br|h[1-6]|ul|ol|li|table|tr|td|th|a|b|i|em|strong)\b[^<>]*>", re.I)
_WRAPPED = re.compile(r"(?<=[^\W\d_]|,|;)[ \t]*\n(?=[^\W\d_A-Z])|(?<=[a-z,;]) ?\n(?=[A-Z][a-z]+ [a-z])")
_ABBREVIATED = re.compile(r"(?:\b(?:Mr|Mrs|Ms|Dr|Prof|St|Ltd|Inc|No|vs|e\.g|i\.e)|\b[A-Z])\.$")
_TOKEN = re.compile(r"<(?=[|/]?\w+\|?>)")  # where `<|im_end|>`, `</s>`, `<repo_name>` and their like begin
_WORD = re.compile(r"[\u2e80-\u9fff\uac00-\ud7a3\uf900-\ufaff]|[^\W_\u2e80-\u9fff\uac00-\ud7a3\uf900-\ufaff]+")
_NUMBER = re.compile(r"\d|\b(?:one|two|three|four|five|six|seven|eight|nine|ten|twenty|hundred|thousand)\b", re.I)
_TIME = re.compile(
    r"\d|\b(?:mon|tues|wednes|thurs|fri|satur|sun)days?\b|\b(?:january|february|march|april|may|june|july|august|"
    r"september|october|november|december|spring|summer|autumn|winter|noon|midnight)\b",
    re.I,
)
_NAME = re.compile(r"(?<=[a-z,] )[A-Z]\w+")
# What a question asks for, and what a sentence that answers it is likely to have.
_ASKED = (
    (re.compile(r"\b(?:how (?:long|many|much|old|far|large|big|tall|high|wide)|cost|price)\b", re.I), _NUMBER),
    (re.compile(r"\b(?:when|what time|(?:what|which) (?:day|year|month|date))\b", re.I), _TIME),
    (re.compile(r"\bwho\b", re.I), _NAME),
    (re.compile(r"\bhow (?:do|can|should) (?:i|we|you|one)\b", re.I), re.compile(r"\bto \w+|\b[Yy]ou\b")),
)
ASKED_WEIGHT = 1.0  # in the unit of one rare word
_COMMON_WORDS = """
a an the of in on at to for from by with and or but is are was were be been has have had do does did i you he she it its
we they me my your his her our their this that these those what which who whom whose when where why how much many there
can could will would should may must not no as if than then so about into
"""
_COMMON = frozenset(_COMMON_WORDS.split())
_ENDINGS = ("ing", "ed", "es", "s", "e")


def text_of(document: str) -> str:
    """A document's text: that of an HTML page without its tags, any other as it is.

    Raises:
        NoText: there is nothing in it to read.
        TooLong: it has more than MOST_CHARACTERS.
    """
    if len(document) > MOST_CHARACTERS:
        raise TooLong(f"The document has {len(document)} characters and a block takes {MOST_CHARACTERS}: send parts.")
    text = _without_tags(document) if _HTML.search(document) else document
    text = text.replace("\r\n", "\n").replace("\x00", " ").strip()
    if not re.search(r"[^\W_]", text):
        raise NoText
    return text


def require_at_most(text: str, most: int) -> None:
    """Refuses a text of more words.

    Raises:
        TooLong: it has more than `most` words.
    """
    count = len(text.split())
    if count > most:
        raise TooLong(f"The document has {count} words and this call takes {most}: send it in parts.")


def harmless(text: str) -> str:
    """A text as it may stand in a prompt: what looks like a special token is broken, so that it is read as text."""
    return _TOKEN.sub("< ", text)


def sentences(text: str) -> list[str]:
    """The sentences of a text, verbatim, each of at most SENTENCE_WORDS words; a line of a list is one too."""
    found: list[str] = []
    for line in _WRAPPED.sub(" ", text).splitlines():
        start = len(found)
        for sentence in chunkers.sentences(line, SENTENCE_WORDS):
            if len(found) > start and _ABBREVIATED.search(found[-1]):
                found[-1] += f" {sentence}"
            else:
                found.append(sentence)
    return found


def words(text: str) -> list[str]:
    """The words of a text that mean something, in lower case and without their endings."""
    return [_stem(word) for word in _WORD.findall(text.lower()) if word not in _COMMON]


def ranked(found: Sequence[str], question: str) -> list[tuple[int, float]]:
    """Sentences by how near they are to a question: each one's place, and its score, the nearest first.

    The score sums the inverse document frequencies of the words that both have; a sentence that has one gains by what
    is asked for (a number, a time, a name). 0: they share nothing.
    """
    having = [set(words(sentence)) for sentence in found]
    asked = set(words(question))
    counts = Counter(word for each in having for word in each & asked)
    weights = {word: math.log(1 + len(found) / (1 + counts[word])) for word in asked}
    wanted = next((signs for pattern, signs in _ASKED if pattern.search(question)), None)
    scores = []
    for sentence, each in zip(found, having, strict=True):
        score = sum(weights[word] for word in sorted(each & asked))
        scores.append(score + ASKED_WEIGHT if score and wanted and wanted.search(sentence) else score)
    return sorted(enumerate(scores), key=lambda one: -one[1])


def _stem(word: str) -> str:
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word[: -len(ending)]
    return word


class _Text(HTMLParser):
    """Collects the text of a page; what ends a block ends a line."""

    _HIDDEN = ("script", "style", "template")
    _INLINE = ("a", "abbr", "b", "code", "em", "i", "mark", "small", "span", "strong", "sub", "sup", "u", "td", "th")

    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[str] = []
        self._hidden = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._hidden += tag in self._HIDDEN
        self.pieces.append(" " if tag in ("td", "th") else "" if tag in self._INLINE else "\n")

    def handle_endtag(self, tag: str) -> None:
        self._hidden -= tag in self._HIDDEN and self._hidden > 0
        self.pieces.append("" if tag in self._INLINE else "\n")

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.pieces.append(data)


def _without_tags(page: str) -> str:
    reader = _Text()
    reader.feed(page)
    reader.close()
    lines = (" ".join(line.split()) for line in "".join(reader.pieces).splitlines())
    return "\n".join(line for line in lines if line)
