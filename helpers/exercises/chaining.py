"""The exercise of lesson 2: examples from which the model learns the past tense of other verbs. Called by `attempt`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from .not_yet import NotYet

VERBS = {"jump": "jumped", "eat": "ate", "run": "ran", "write": "wrote", "see": "saw", "drink": "drank"}
EXAMPLE = '("walk", "walked")'
_WORDS = re.compile(r"[^\W\d_]+([ '’-][^\W\d_]+){0,2}")  # "give up"
FEW_SHOT_HINT = "Give three or four pairs of (present, past): a regular verb, an irregular one, one that ends in -y."


def few_shot_prompt(shots: Sequence[tuple[str, str]], verb: str) -> str:
    """The prompt that exercise `few_shot` builds from a learner's examples."""
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
