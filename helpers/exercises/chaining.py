"""The exercises and questions of lesson 2: examples that teach, a template that sorts, a line of context. Called by
`attempt`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from .exercise import Exercise, Question
from .not_yet import NotYet

VERBS = {"jump": "jumped", "eat": "ate", "run": "ran", "write": "wrote", "see": "saw", "drink": "drank"}
EXAMPLE = '("walk", "walked")'
_WORDS = re.compile(r"[^\W\d_]+([ '’-][^\W\d_]+){0,2}")  # "give up"
REVIEWS = {
    "The film was a joy from start to end.": "positive",
    "I want my money back.": "negative",
    "Best pizza in town.": "positive",
    "The room was dirty and cold.": "negative",
    "What a lovely little shop.": "positive",
    "It broke after one day.": "negative",
    "The guide was friendly and funny.": "positive",
    "Nobody answered my calls.": "negative",
    "My children adore this game.": "positive",
    "The battery is useless.": "negative",
    "We will surely come again.": "positive",
    "A boring book, far too long.": "negative",
}
"""What the template of exercise `template` has to sort, and no learner sees."""

WANTED = 11  # of REVIEWS
HOLE = "{text}"
MAX_TEMPLATE = 1500  # characters


def few_shot_prompt(shots: Sequence[tuple[str, str]], verb: str) -> str:
    """The prompt that exercise `few_shot` builds from a learner's examples.

    Args:
        shots: pairs of a verb and its past form.
        verb: the one to end with.
    """
    examples = "".join(f"Present: {present}\nPast: {past}\n\n" for present, past in shots)
    return f"{examples}Present: {verb}\nPast:"


def few_shot(shots: Sequence[tuple[str, str]], model: Any) -> str:
    """Whether the examples teach the past tense of VERBS.

    Args:
        shots: pairs of present and past, of verbs that are not among them.
        model: what to ask.

    Raises:
        NotYet: the examples are no such pairs; a verb is one of those, or became something else.
    """
    shots = [_pair(shot) for shot in _listed(shots)]
    given = {word for pair in shots for text in pair for word in text.lower().split()}
    among_them = sorted(given & {*VERBS, *VERBS.values()})
    if among_them:
        raise NotYet(f"{among_them[0]!r} is one of the verbs that are asked for; use others as examples.")
    wrong = []
    for verb, past in VERBS.items():
        answer = model.complete(query=few_shot_prompt(shots, verb), max_generated_token_count=8).generated_output
        said = (answer.strip().splitlines() or [""])[0].strip().lower()
        if said != past:
            wrong.append(f"{verb} became {said!r}")
    if wrong:
        raise NotYet(f"{len(VERBS) - len(wrong)} of {len(VERBS)} are right ({wrong[0]}).")
    return f"All {len(VERBS)} verbs are right."


def _listed(shots: Any) -> Sequence[Any]:
    if not isinstance(shots, (list, tuple)) or not shots:
        raise NotYet(f"write a list of examples, such as [{EXAMPLE}].")
    return shots


def _pair(shot: Any) -> tuple[str, str]:
    """A pair of a present and a past, which are words and nothing that could bring the answers along."""
    texts = [text.strip() for text in shot if isinstance(text, str)] if isinstance(shot, (list, tuple)) else []
    if len(texts) != 2 or len(shot) != 2:
        raise NotYet(
            f"an example is a pair of a present and a past, such as {EXAMPLE}, and {ascii(shot)[:60]} is none."
        )
    for text in texts:
        if not _WORDS.fullmatch(text):
            raise NotYet(f"{ascii(text)[:60]} is no verb: an example is a pair such as {EXAMPLE}.")
    return texts[0], texts[1]


def template(text: str, model: Any) -> str:
    """Whether a template makes a classifier of reviews that the learner has not seen.

    Args:
        text: what stands around a review, with HOLE in its place; the answer is "positive" or "negative".
        model: what to ask.

    Raises:
        NotYet: it is no template, or too few are right.
    """
    if not isinstance(text, str) or text.count(HOLE) != 1:
        raise NotYet(f"a template is a text with {HOLE} in it, once.")
    if len(text) > MAX_TEMPLATE:
        raise NotYet(f"it has {len(text)} characters, and {MAX_TEMPLATE} are the most.")
    guidance = {"type": "choice", "value": ["positive", "negative"]}
    wrong = [
        review
        for review, label in REVIEWS.items()
        if model.complete(query=text.replace(HOLE, review), guidance=guidance).generated_output != label
    ]
    right = len(REVIEWS) - len(wrong)
    if right < WANTED:
        raise NotYet(f"{right} of {len(REVIEWS)} reviews are right ({wrong[0]!r} is not), and {WANTED} are wanted.")
    return f"{right} of {len(REVIEWS)} reviews that you have not seen are right."


CLUE_QUESTION = "Question: Where are the spare keys?\n\nAnswer:"
PLACES = ("under the blue flower pot", "behind the old clock", "in the third drawer")
MAX_CLUE = 300  # characters


def clue(context: str, model: Any) -> str:
    """Whether a line of context, put before a question, makes the model read its answer out of it.

    Args:
        context: a text with {place} in it, once, that says where the spare keys are.
        model: what to ask, with three places that are put there one after another.

    Raises:
        NotYet: it is no such text, or the model does not find the place.
    """
    if not isinstance(context, str) or context.count("{place}") != 1:
        raise NotYet("a context is a text with {place} in it, once.")
    if len(context) > MAX_CLUE:
        raise NotYet(f"it has {len(context)} characters, and {MAX_CLUE} are the most.")
    for place in PLACES:
        prompt = f"{context.replace('{place}', place)}\n\n{CLUE_QUESTION}"
        said = model.complete(query=prompt, max_generated_token_count=24).generated_output.strip()
        if place not in said.lower():
            raise NotYet(f"with {place!r} it said {said[:60]!r}.")
    return f"It found all {len(PLACES)} places."


EXERCISES = {
    "few_shot": Exercise(
        few_shot,
        "Give three or four pairs of (present, past): a regular verb, an irregular one, one that ends in -y.",
    ),
    "template": Exercise(template, "Say what the text is, and end where the answer belongs: with the field's name."),
    "clue": Exercise(clue, "First show a question of this kind with its answer; then say where the keys are."),
}

QUESTIONS = {
    "shown": Question(
        "Your few-shot prompt gets 3 of 12 right. What first?",
        {
            "Trust it: showing beats telling.": "it often does, and not always: that is what the count is for.",
            "See which class it says instead.": "a confusion table tells a prompt that always says one thing from one "
            "that mixes up two.",
            "Raise the temperature.": "that makes a wrong answer vary, not right.",
        },
        "See which class it says instead.",
    ),
    "checked": Question(
        "The model's JSON passes the pydantic class. Is it right?",
        {
            "Yes: it was checked.": "the form was; a wrong city is still a str.",
            "Its form is; its facts may be made up.": "a class can't know what the sentence said.",
            "Only at temperature 0.": "temperature 0 repeats an answer, right or wrong.",
        },
        "Its form is; its facts may be made up.",
    ),
}
