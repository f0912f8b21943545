"""The exercises and questions of lesson 1: how an answer ends, what tokens are, when a model is sure. Called by
`attempt`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .. import token_count
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
        raise NotYet(f"it was cut off after {limit} tokens, at {answer.generated_output[-30:]!r}.")
    if not answer.generated_output.strip():
        raise NotYet("it ended at once and said nothing.")
    return f"It ended by itself: {answer.generated_output.strip()!r}."


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
            raise NotYet("each of the two is a word of the letters a to z.")
        if len(word) not in WORD_LETTERS:
            raise NotYet(f"{word[:20]!r} has {len(word)} letters; 8 to 12 are wanted, so that length explains nothing.")
        counts.append(len(token_count.token_ids(model, f" {word}")))
    if counts[0] != 1:
        raise NotYet(f"{common!r} takes {counts[0]} tokens, and one is wanted.")
    if counts[1] < RARE_TOKENS:
        raise NotYet(f"{rare!r} takes {counts[1]}, and at least {RARE_TOKENS} are wanted.")
    return f"{common!r} is one token, {rare!r} is {counts[1]}."


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
    (first, high), (_, low) = (token_count.likeliest(model, prompt, 1)[0] for prompt in prompts)
    if high < SURE:
        raise NotYet(f"after the first prompt the likeliest token has {high:.0%}, and {SURE:.0%} are wanted.")
    if low > UNSURE:
        raise NotYet(f"after the second the likeliest token has {low:.0%}, and at most {UNSURE:.0%} are wanted.")
    return f"{high:.0%} for {first!r} after the first, and no more than {low:.0%} for any token after the second."


def _prompt(text: Any) -> str:
    """A text of different words: what says one word again and again makes any model sure."""
    words = text.lower().split() if isinstance(text, str) else []
    if len(words) not in PROMPT_WORDS or not all(any(sign.isalnum() for sign in word) for word in words):
        raise NotYet(f"a prompt is a text of {PROMPT_WORDS[0]} to {PROMPT_WORDS[-1]} words.")
    if 2 * len(set(words)) <= len(words):
        raise NotYet(f"{text[:40]!r} says the same again and again; any model is sure then.")
    return text


def _room(settings: Any) -> int:
    """How many tokens the settings leave to the model, if they are settings with which it ends every time."""
    if not isinstance(settings, Mapping):
        raise NotYet(f'settings are a dict, such as {{"{ROOM}": 4}}.')
    strange = [name for name in settings if name != ROOM and name not in OTHERS]
    if strange:
        raise NotYet(f"{ascii(strange[0])[:60]} is no setting for this: {ROOM} is the one that matters.")
    limit = settings.get(ROOM)
    if not isinstance(limit, int) or isinstance(limit, bool):
        raise NotYet(f"say how many tokens it may generate, with {ROOM} and a whole number.")
    if settings.get("temperature"):
        raise NotYet("with a temperature it ends this time and not the next: leave it out.")
    return limit


EXERCISES = {
    "finish": Exercise(finish, "The model needs room to end: how many tokens may it generate?"),
    "two_words": Exercise(two_words, "Words that everyone writes are one token. Who writes about zymurgy?"),
    "sure": Exercise(
        sure,
        "Counting leaves little doubt about what is next. A name may be any.",
    ),
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
