"""Checkers of the lessons' exercises: they try what the learner built, and say what was wrong.

In a notebook: `exercises.check("few_shot", shots, model)`, and `exercises.hint("few_shot")` for a hint. A checker
judges behaviour, never one exact wording; it takes the SDK's model, so that the same exercise works on any endpoint.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

VERBS = {"jump": "jumped", "eat": "ate", "run": "ran", "write": "wrote", "see": "saw", "drink": "drank"}
PETS = "The three best pets are"
MAX_WORDS = 12


class NotYet(Exception):
    """Raised by a checker when the exercise is not solved; says why."""


def check(name: str, *answer: Any) -> None:
    """Tries an answer and prints what came of it.

    Args:
        name: the exercise.
        answer: what the exercise asks for.

    Raises:
        ValueError: there is no such exercise.
    """
    solved, reason = attempt(name, *answer)
    print(f"Right! {reason}" if solved else f"Not yet: {reason} exercises.hint({name!r}) helps.")


def attempt(name: str, *answer: Any) -> tuple[bool, str]:
    """Tries an answer.

    Returns:
        Whether the exercise is solved, and a sentence that says why.

    Raises:
        ValueError: there is no such exercise.
    """
    checker, _ = _exercise(name)
    try:
        return True, checker(*answer)
    except NotYet as reason:
        return False, str(reason)


def hint(name: str) -> None:
    """Prints a hint.

    Raises:
        ValueError: there is no such exercise.
    """
    print(_exercise(name)[1])


def _exercise(name: str) -> tuple[Callable[..., str], str]:
    if name not in _EXERCISES:
        raise ValueError(f"There is no exercise {name!r}; there are {', '.join(_EXERCISES)}.")
    return _EXERCISES[name]


def _finish(settings: dict[str, Any], model: Any) -> str:
    """01: settings under which the model ends its sentence by itself."""
    answer = model.complete(query=PETS, **settings)
    if answer.finish_reason != "stop":
        limit = settings.get("max_generated_token_count")
        raise NotYet(f"it was cut off after {limit} tokens, at {answer.generated_output[-30:]!r}.")
    if not answer.generated_output.strip():
        raise NotYet("it ended at once and said nothing.")
    return f"It ended by itself: {answer.generated_output.strip()!r}."


def few_shot_prompt(shots: Sequence[tuple[str, str]], verb: str) -> str:
    """The prompt that exercise `few_shot` builds from a learner's examples."""
    examples = "".join(f"Present: {present}\nPast: {past}\n\n" for present, past in shots)
    return f"{examples}Present: {verb}\nPast:"


def _few_shot(shots: Sequence[tuple[str, str]], model: Any) -> str:
    """02: examples from which the model learns the past tense of verbs that are not among them."""
    shown = {word for pair in shots for word in pair}
    told = sorted(shown & {*VERBS, *VERBS.values()})
    if told:
        raise NotYet(f"{told[0]!r} is one of the verbs that are asked for; use others as examples.")
    wrong = []
    for verb, past in VERBS.items():
        answer = model.complete(query=few_shot_prompt(shots, verb), max_generated_token_count=8).generated_output
        said = (answer.strip().splitlines() or [""])[0].strip().lower()
        if said != past:
            wrong.append(f"{verb} became {said!r}")
    if wrong:
        raise NotYet(f"{len(VERBS) - len(wrong)} of {len(VERBS)} are right ({wrong[0]}).")
    return f"All {len(VERBS)} verbs are right."


def _own_fact(question: str, answer: str, base: Any) -> str:
    """03: a fact of the learner's own, taught to a new adapter and asked for."""
    if not question.strip() or not answer.strip():
        raise NotYet("write a question and its answer.")
    if len(answer.split()) > MAX_WORDS:
        raise NotYet(f"keep the answer within {MAX_WORDS} words; one sample teaches a short answer best.")
    prompt = f"Question: {question}\n\nAnswer:"
    before = base.complete(query=prompt, max_generated_token_count=32).generated_output.strip()
    if answer.strip().lower() in before.lower():
        raise NotYet(f"the model knew that already ({before!r}); ask something only you know.")
    adapter = base.create_model_adapter(name="exercise")
    try:
        adapter.fine_tune(samples=[{"inputs": f"{prompt} {answer.strip()}"}])
        after = adapter.complete(query=prompt, max_generated_token_count=32).generated_output.strip()
    finally:
        adapter.delete()
    if answer.strip().lower() not in after.lower():
        raise NotYet(f"after the fine-tune it says {after!r}.")
    return f"Before: {before!r}. After: {after!r}."


_EXERCISES: dict[str, tuple[Callable[..., str], str]] = {
    "finish": (_finish, "The model needs room to end: how many tokens may it generate?"),
    "few_shot": (
        _few_shot,
        "Give three or four pairs of (present, past): a regular verb, an irregular one, one that ends in -y.",
    ),
    "own_fact": (_own_fact, "Something short that no one could know: what is your cat called?"),
}
