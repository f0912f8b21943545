"""The exercises of lesson 5 on classifiers: reading a confusion table, and writing samples. Called by `attempt`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from ..progress_bars import progress, waiting
from .not_yet import NotYet

PLACES = ("kitchen", "garden", "garage")
NOTES = {
    "The oven is not getting hot any more.": "kitchen",
    "Buy a new pan, the old one burns everything.": "kitchen",
    "The fridge smells, please clean it.": "kitchen",
    "Water the tomatoes every evening.": "garden",
    "The lawn has to be cut on Friday.": "garden",
    "Plant the tulips before the first frost.": "garden",
    "The car needs new tyres.": "garage",
    "Pump up the bicycle and oil its chain.": "garage",
    "The engine makes a strange noise.": "garage",
}
"""What the samples of exercise `sorter` have to teach: none of these is among them."""

WANTED = 8  # of NOTES
MIN_SAMPLES, MAX_SAMPLES, MAX_WORDS = 6, 24, 20
QUERY = "Note: {text}\nPlace:"
EXAMPLE = '("Peel the potatoes.", "kitchen")'

WORST_HINT = (
    "Look for the darkest square that is not on the diagonal: its row is what is right, its column what was said."
)
SORTER_HINT = "Four short notes for each place, about different things; as many of one place as of another."


def worst_mistake(answer: Sequence[str], pairs: Sequence[tuple[str, str]]) -> str:
    """Whether an answer names the mistake that a classifier makes most often.

    Args:
        answer: what is right, and what it says instead.
        pairs: the same of each text.

    Raises:
        NotYet: it is no such answer, or another mistake is more frequent.
    """
    mistakes = Counter((right, said) for right, said in _pairs(pairs) if right != said)
    if not mistakes:
        raise NotYet("these pairs have no mistake in them: take those of another classifier.")
    if not _is_pair(answer) or not all(answer):
        raise NotYet('an answer is a pair of what is right and what it said, such as ("billing", "delivery").')
    times, most = mistakes[tuple(answer)], max(mistakes.values())
    if times < most:
        raise NotYet(f"that mistake is made {times} times, and another one {most} times.")
    return f"{answer[1]} for {answer[0]}, {times} times."


def sorter(samples: Sequence[tuple[str, str]], base: Any) -> str:
    """Whether samples teach a new adapter to sort NOTES into PLACES; the adapter is deleted again.

    Args:
        samples: pairs of a note and its place.
        base: the base model.

    Raises:
        NotYet: they are no such samples, or the adapter gets too many wrong.
    """
    taught = _samples(samples)
    if not callable(getattr(base, "create_model_adapter", None)):
        raise NotYet("a new adapter is made on a base model: give that as the last argument.")
    adapter = base.create_model_adapter(name="exercise")
    try:
        with waiting(f"Fine-tuning on {len(taught)} samples"):
            adapter.fine_tune(
                samples=[
                    {"inputs": [{"value": QUERY.format(text=text), "trainable": False}, {"value": f" {place}"}]}
                    for text, place in taught
                ]
            )
        wrong = {note: place for note in progress(NOTES, "asking") if (place := _place(adapter, note)) != NOTES[note]}
    finally:
        adapter.delete()
    right = len(NOTES) - len(wrong)
    if right < WANTED:
        note, place = next(iter(wrong.items()))
        raise NotYet(f"{right} of {len(NOTES)} notes are right ({note!r} went to the {place}).")
    return f"{right} of {len(NOTES)} notes that it had never seen are right."


def _place(model: Any, note: str) -> str:
    guidance = {"type": "choice", "value": list(PLACES)}
    return model.complete(query=QUERY.format(text=note), guidance=guidance).generated_output


def _samples(samples: Any) -> list[tuple[str, str]]:
    if not isinstance(samples, (list, tuple)) or not all(map(_is_pair, samples)):
        raise NotYet(f"samples are a list of pairs, such as [{EXAMPLE}].")
    if not MIN_SAMPLES <= len(samples) <= MAX_SAMPLES:
        raise NotYet(f"there are {len(samples)} samples, and {MIN_SAMPLES} to {MAX_SAMPLES} are wanted.")
    known = {_plain(note) for note in NOTES}
    for text, place in samples:
        if place not in PLACES:
            raise NotYet(f"{ascii(place)[:40]} is none of the places {', '.join(PLACES)}.")
        if not 1 < len(text.split()) <= MAX_WORDS:
            raise NotYet(f"a note has 2 to {MAX_WORDS} words, and {ascii(text)[:60]} has not.")
        if _plain(text) in known:
            raise NotYet(f"{text[:60]!r} is one of the notes that are asked: it shows nothing once it is learned.")
    return [(text, place) for text, place in samples]


def _pairs(pairs: Any) -> Sequence[tuple[str, str]]:
    if not isinstance(pairs, (list, tuple)) or not pairs or not all(map(_is_pair, pairs)):
        raise NotYet("give the pairs that the classifier made, as they are, last.")
    return pairs


def _is_pair(pair: Any) -> bool:
    return isinstance(pair, (list, tuple)) and len(pair) == 2 and all(isinstance(text, str) for text in pair)


def _plain(text: str) -> str:
    return " ".join(text.lower().split()).rstrip(".!")
