"""The exercises of lesson 5 on classifiers: reading a confusion table, and writing samples. Called by `attempt`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from ..language import _
from ..progress_bars import progress, waiting
from .exercise import Exercise, Question
from .fine_tuning import require_base, temporary_adapter
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
        raise NotYet(_("these pairs have no mistake in them: take those of another classifier."))
    if not _is_pair(answer) or not all(answer):
        raise NotYet(_('an answer is a pair of what is right and what it said, such as ("billing", "delivery").'))
    times, most = mistakes[answer[0], answer[1]], max(mistakes.values())
    if times < most:
        raise NotYet(_("that mistake is made {times} times, and another one {most} times.", times=times, most=most))
    return _("{said} for {right}, {times} times.", said=answer[1], right=answer[0], times=times)


def sorter(samples: Sequence[tuple[str, str]], base: Any) -> str:
    """Whether samples teach a new adapter to sort NOTES into PLACES; the adapter is deleted again.

    Args:
        samples: pairs of a note and its place.
        base: the base model.

    Raises:
        NotYet: they are no such samples, or the adapter gets too many wrong.
    """
    taught = _samples(samples)
    require_base(base)
    with temporary_adapter(base) as adapter:
        with waiting(_("Fine-tuning on {count} samples", count=len(taught))):
            adapter.fine_tune(
                samples=[
                    {"inputs": [{"value": QUERY.format(text=text), "trainable": False}, {"value": f" {place}"}]}
                    for text, place in taught
                ]
            )
        wrong = {
            note: place for note in progress(NOTES, _("asking")) if (place := _place(adapter, note)) != NOTES[note]
        }
    right = len(NOTES) - len(wrong)
    if right < WANTED:
        note, place = next(iter(wrong.items()))
        raise NotYet(
            _(
                "{right} of {count} notes are right ({note!r} went to the {place}).",
                right=right,
                count=len(NOTES),
                note=note,
                place=place,
            )
        )
    return _("{right} of {count} notes that it had never seen are right.", right=right, count=len(NOTES))


def _place(model: Any, note: str) -> str:
    guidance = {"type": "choice", "value": list(PLACES)}
    return model.complete(query=QUERY.format(text=note), guidance=guidance).generated_output


def _samples(samples: Any) -> list[tuple[str, str]]:
    if not isinstance(samples, (list, tuple)) or not all(map(_is_pair, samples)):
        raise NotYet(_("samples are a list of pairs, such as [{example}].", example=EXAMPLE))
    if not MIN_SAMPLES <= len(samples) <= MAX_SAMPLES:
        raise NotYet(
            _(
                "there are {count} samples, and {least} to {most} are wanted.",
                count=len(samples),
                least=MIN_SAMPLES,
                most=MAX_SAMPLES,
            )
        )
    known = {plain(note) for note in NOTES}
    for text, place in samples:
        if place not in PLACES:
            raise NotYet(
                _("{place} is none of the places {places}.", place=ascii(place)[:40], places=", ".join(PLACES))
            )
        if not 1 < len(text.split()) <= MAX_WORDS:
            raise NotYet(_("a note has 2 to {most} words, and {text} has not.", most=MAX_WORDS, text=ascii(text)[:60]))
        if plain(text) in known:
            raise NotYet(
                _("{text!r} is one of the notes that are asked: it shows nothing once it is learned.", text=text[:60])
            )
    return [(text, place) for text, place in samples]


def _pairs(pairs: Any) -> Sequence[tuple[str, str]]:
    if not isinstance(pairs, (list, tuple)) or not pairs or not all(map(_is_pair, pairs)):
        raise NotYet(_("give the pairs that the classifier made, as they are, last."))
    return pairs


def _is_pair(pair: Any) -> bool:
    return isinstance(pair, (list, tuple)) and len(pair) == 2 and all(isinstance(text, str) for text in pair)


def plain(text: str) -> str:
    """A text without what makes no difference: case, spaces, and a full stop at the end."""
    return " ".join(text.lower().split()).rstrip(".!")


EXERCISES = {
    "worst_mistake": Exercise(
        worst_mistake,
        "Look for the darkest square that is not on the diagonal: its row is what is right, its column what was said.",
    ),
    "sorter": Exercise(
        sorter, "Four short notes for each place, about different things; as many of one place as of another."
    ),
}

QUESTIONS = {
    "ninety_of_a_hundred": Question(
        "Ninety of a hundred mails are about billing, and a classifier gets ninety right. How good is it?",
        {
            "Good: nine of ten.": "one that says *billing* to everything gets ninety as well.",
            "That can't be said without its confusion table.": "ninety may mean that it has understood nearly "
            "everything, or nothing.",
            "Bad: it must be guessing.": "it may be; a guess by the toss of a coin would get fewer, and the table "
            "tells.",
        },
        "That can't be said without its confusion table.",
    ),
    "in_both_halves": Question(
        "A mail is in the half to learn from and in the held-out half, too. What does that do to the score?",
        {
            "It becomes too high.": "that mail may just be remembered. The checker of projects refuses such a data "
            "set.",
            "It becomes too low.": "a mail that was learned is seldom answered wrong.",
            "Nothing, it is one mail of forty.": "it is one for which the score tells nothing, and where one "
            "slipped in there are more.",
        },
        "It becomes too high.",
    ),
    "one_class": Question(
        "With examples in the prompt, a model says one class to everything. What first?",
        {
            "Add the same examples once more.": "what made it lean to one side is then there twice.",
            "Raise the temperature.": "that mixes chance into the answers, and no knowledge.",
            "Try other examples and other orders, on mails that are not held out, and count.": "the choice and the "
            "order decide, and the held-out half stays clean only if it is asked at the end.",
        },
        "Try other examples and other orders, on mails that are not held out, and count.",
    ),
}
