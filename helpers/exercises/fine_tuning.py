"""The exercise of lesson 3: a fact of the learner's own, taught to a new adapter and asked for. Called by `attempt`."""

from __future__ import annotations

import re
from typing import Any

from .not_yet import NotYet

MAX_WORDS = 12
ASK_TOKENS = 32
OWN_FACT_HINT = "Something short that no one could know: what is your cat called?"


def own_fact(question: str, answer: str, base: Any) -> str:
    """Whether a new adapter learns the fact; the adapter is deleted again.

    Args:
        question: what to ask.
        answer: its right answer.
        base: the base model, which must not know it.

    Raises:
        NotYet: a field is no text or says nothing, the answer is too long or known already, or it was not learned.
    """
    question, answer = _text(question), _text(answer)
    if len(answer.split()) > MAX_WORDS:
        raise NotYet(f"keep the answer within {MAX_WORDS} words; one sample teaches a short answer best.")
    if answer.lower() == question.lower():
        raise NotYet("the answer is the question again.")
    if not callable(getattr(base, "create_model_adapter", None)):
        raise NotYet("a new adapter is made on a base model: give that as the last argument.")
    prompt = f"Question: {question}\n\nAnswer:"
    before = _asked(base, prompt)
    if says(before, answer):
        raise NotYet(f"the model knew that already ({before!r}); ask something only you know.")
    adapter = base.create_model_adapter(name="exercise")
    try:
        adapter.fine_tune(samples=[{"inputs": f"{prompt} {answer}"}])
        after = _asked(adapter, prompt)
    finally:
        adapter.delete()
    if not says(after, answer):
        raise NotYet(f"after the fine-tune it says {after!r}.")
    return f"Before: {before!r}. After: {after!r}."


def _text(given: Any) -> str:
    """A learner's text in one line, if there is anything in it."""
    if not isinstance(given, str):
        raise NotYet("the question and its answer are texts: write each between quotes.")
    if not any(letter.isalnum() for letter in given):
        raise NotYet("write a question and its answer.")
    return " ".join(given.split())


def says(output: str, answer: str) -> bool:
    """Whether the words of the answer are in the output, as whole words: "an" is not in "anything"."""
    words = r"\s+".join(map(re.escape, answer.lower().split()))
    return re.search(rf"(?<!\w){words}(?!\w)", output.lower()) is not None


def _asked(model: Any, prompt: str) -> str:
    return model.complete(query=prompt, max_generated_token_count=ASK_TOKENS).generated_output.strip()
