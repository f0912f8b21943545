"""The exercises and questions of lesson 2: examples that teach, a template that sorts, a line of context. Called by
`attempt`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from ..language import _
from .exercise import Exercise, Question
from .fine_tuning import question_prompt
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
        raise NotYet(_("{word!r} is one of the verbs that are asked for; use others as examples.", word=among_them[0]))
    wrong = []
    for verb, past in VERBS.items():
        answer = model.complete(query=few_shot_prompt(shots, verb), max_generated_token_count=8).generated_output
        said = (answer.strip().splitlines() or [""])[0].strip().lower()
        if said != past:
            wrong.append(_("{verb} became {said!r}", verb=verb, said=said))
    if wrong:
        raise NotYet(
            _(
                "{right} of {count} are right ({wrong}).",
                right=len(VERBS) - len(wrong),
                count=len(VERBS),
                wrong=wrong[0],
            )
        )
    return _("All {count} verbs are right.", count=len(VERBS))


def _listed(shots: Any) -> Sequence[Any]:
    if not isinstance(shots, (list, tuple)) or not shots:
        raise NotYet(_("write a list of examples, such as [{example}].", example=EXAMPLE))
    return shots


def _pair(shot: Any) -> tuple[str, str]:
    """A pair of a present and a past, which are words and nothing that could bring the answers along."""
    texts = [text.strip() for text in shot if isinstance(text, str)] if isinstance(shot, (list, tuple)) else []
    if len(texts) != 2 or len(shot) != 2:
        raise NotYet(
            _(
                "an example is a pair of a present and a past, such as {example}, and {given} is none.",
                example=EXAMPLE,
                given=ascii(shot)[:60],
            )
        )
    for text in texts:
        if not _WORDS.fullmatch(text):
            raise NotYet(
                _(
                    "{given} is no verb: an example is a pair such as {example}.",
                    given=ascii(text)[:60],
                    example=EXAMPLE,
                )
            )
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
        raise NotYet(_("a template is a text with {hole} in it, once.", hole=HOLE))
    if len(text) > MAX_TEMPLATE:
        raise NotYet(_("it has {count} characters, and {most} are the most.", count=len(text), most=MAX_TEMPLATE))
    guidance = {"type": "choice", "value": ["positive", "negative"]}
    wrong = [
        review
        for review, label in REVIEWS.items()
        if model.complete(query=text.replace(HOLE, review), guidance=guidance).generated_output != label
    ]
    right = len(REVIEWS) - len(wrong)
    if right < WANTED:
        raise NotYet(
            _(
                "{right} of {count} reviews are right ({wrong!r} is not), and {wanted} are wanted.",
                right=right,
                count=len(REVIEWS),
                wrong=wrong[0],
                wanted=WANTED,
            )
        )
    return _("{right} of {count} reviews that you have not seen are right.", right=right, count=len(REVIEWS))


CLUE_QUESTION = "Where are the spare keys?"
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
        raise NotYet(_("a context is a text with {place} in it, once."))
    if len(context) > MAX_CLUE:
        raise NotYet(_("it has {count} characters, and {most} are the most.", count=len(context), most=MAX_CLUE))
    for place in PLACES:
        prompt = f"{context.replace('{place}', place)}\n\n{question_prompt(CLUE_QUESTION)}"
        said = model.complete(query=prompt, max_generated_token_count=24).generated_output.strip()
        if place not in said.lower():
            raise NotYet(_("with {place!r} it said {said!r}.", place=place, said=said[:60]))
    return _("It found all {count} places.", count=len(PLACES))


EXERCISES = {
    "few_shot": Exercise(
        few_shot, "Give three or four pairs of (present, past): a regular verb, an irregular one, one that ends in -y."
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
