"""The exercises and questions of lesson 1: how an answer ends, what tokens are, when a model is sure. Called by
`attempt`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .. import token_count
from ..language import _
from .exercise import Exercise, Question
from .not_yet import NotYet

PETS = "The three best pets are"
ROOM = "max_generated_token_count"
OTHERS = {"auto_template", "temperature", "top_k", "top_p"}  # guidance would write the answer itself
WORD_LETTERS = range(8, 13)
RARE_TOKENS = 4
SURE, UNSURE = 0.9, 0.1  # probabilities of the likeliest next token
PROMPT_WORDS = range(3, 31)


def finish(settings: Mapping[str, Any], model: Any) -> str:
    """Whether the model ends its sentence by itself, given how many tokens it may generate.

    Args:
        settings: arguments of `complete`, ROOM among them.
        model: what to ask.

    Raises:
        NotYet: the settings are no such arguments, or leave it to luck; it was cut off, or said nothing.
    """
    limit = _room(settings)
    answer = model.complete(query=PETS, **settings)
    if answer.finish_reason != "stop":
        raise NotYet(
            _("it was cut off after {limit} tokens, at {end!r}.", limit=limit, end=answer.generated_output[-30:])
        )
    if not answer.generated_output.strip():
        raise NotYet(_("it ended at once and said nothing."))
    return _("It ended by itself: {said!r}.", said=answer.generated_output.strip())


def two_words(common: str, rare: str, model: Any) -> str:
    """Whether of two words of about the same length one is a single token and the other many.

    Args:
        common: a word that is one token after a space.
        rare: a word of at least RARE_TOKENS tokens.
        model: whose tokens.

    Raises:
        NotYet: they are no such words.
    """
    counts = []
    for word in (common, rare):
        if not isinstance(word, str) or not (word.isascii() and word.isalpha() and word.islower()):
            raise NotYet(_("each of the two is a word of the letters a to z."))
        if len(word) not in WORD_LETTERS:
            raise NotYet(
                _(
                    "{word!r} has {count} letters; 8 to 12 are wanted, so that length explains nothing.",
                    word=word[:20],
                    count=len(word),
                )
            )
        counts.append(len(token_count.token_ids(model, f" {word}")))
    if counts[0] != 1:
        raise NotYet(_("{word!r} takes {count} tokens, and one is wanted.", word=common, count=counts[0]))
    if counts[1] < RARE_TOKENS:
        raise NotYet(
            _("{word!r} takes {count}, and at least {least} are wanted.", word=rare, count=counts[1], least=RARE_TOKENS)
        )
    return _("{common!r} is one token, {rare!r} is {count}.", common=common, rare=rare, count=counts[1])


def sure(sure_prompt: str, unsure_prompt: str, model: Any) -> str:
    """Whether a model is sure of what comes after one prompt, and unsure after another.

    Args:
        sure_prompt: a text after which the likeliest token has a probability of at least SURE.
        unsure_prompt: one after which it has at most UNSURE.
        model: what to ask.

    Raises:
        NotYet: they are no such prompts.
    """
    prompts = [_prompt(text) for text in (sure_prompt, unsure_prompt)]
    (first, high), (other, low) = (token_count.likeliest(model, prompt, 1)[0] for prompt in prompts)
    if high < SURE:
        raise NotYet(
            _(
                "after the first prompt the likeliest token has {high:.0%}, and {sure:.0%} are wanted.",
                high=high,
                sure=SURE,
            )
        )
    if low > UNSURE:
        raise NotYet(
            _(
                "after the second the likeliest token has {low:.0%}, and at most {unsure:.0%} are wanted.",
                low=low,
                unsure=UNSURE,
            )
        )
    return _(
        "{high:.0%} for {first!r} after the first, and no more than {low:.0%} for any token after the second.",
        high=high,
        first=first,
        low=low,
    )


def _prompt(text: Any) -> str:
    """A text of different words: what says one word again and again makes any model sure."""
    words = text.lower().split() if isinstance(text, str) else []
    if len(words) not in PROMPT_WORDS or not all(any(sign.isalnum() for sign in word) for word in words):
        raise NotYet(_("a prompt is a text of {least} to {most} words.", least=PROMPT_WORDS[0], most=PROMPT_WORDS[-1]))
    if 2 * len(set(words)) <= len(words):
        raise NotYet(_("{text!r} says the same again and again; any model is sure then.", text=text[:40]))
    return text


def _room(settings: Any) -> int:
    """How many tokens the settings leave to the model, if they are settings with which it ends every time."""
    if not isinstance(settings, Mapping):
        raise NotYet(_('settings are a dict, such as {{"{room}": 4}}.', room=ROOM))
    strange = [name for name in settings if name != ROOM and name not in OTHERS]
    if strange:
        raise NotYet(
            _("{name} is no setting for this: {room} is the one that matters.", name=ascii(strange[0])[:60], room=ROOM)
        )
    limit = settings.get(ROOM)
    if not isinstance(limit, int) or isinstance(limit, bool):
        raise NotYet(_("say how many tokens it may generate, with {room} and a whole number.", room=ROOM))
    if settings.get("temperature"):
        raise NotYet(_("with a temperature it ends this time and not the next: leave it out."))
    return limit


EXERCISES = {
    "finish": Exercise(finish, "The model needs room to end: how many tokens may it generate?"),
    "two_words": Exercise(two_words, "Words that everyone writes are one token. Who writes about zymurgy?"),
    "sure": Exercise(sure, "Counting leaves little doubt about what is next. A name may be any."),
}

QUESTIONS = {
    "cut_off": Question(
        "An answer ends with finish_reason 'length'. What happened?",
        {
            "The model had said all it wanted.": "then the reason is 'stop': the model ended the text by itself.",
            "It reached max_generated_token_count.": "it was cut off there; with more room it would have gone on.",
            "The prompt was too long.": "a prompt that is too long is refused, and there is no answer at all.",
        },
        "It reached max_generated_token_count.",
    ),
    "top_k_one": Question(
        "temperature=1.5 and top_k=1: what do you get when you ask twice?",
        {
            "Two bold, different answers.": "top_k=1 leaves one token to draw from, and no temperature changes that.",
            "Twice the answer of temperature 0.": "only the likeliest token is left, so the draw has no choice.",
            "An error.": "the two may be given together; top_k just takes nearly all away.",
        },
        "Twice the answer of temperature 0.",
    ),
    "instruction": Question(
        "Why did 'List the days of the week.' work only with auto_template=True?",
        {
            "The template has the days in it.": "the template holds no knowledge: it marks whose turn it is to speak.",
            "It makes the model larger.": "the same weights answer; only the prompt is another.",
            "The model was trained to answer inside it.": "as raw text, a sentence is something to continue.",
        },
        "The model was trained to answer inside it.",
    ),
}
