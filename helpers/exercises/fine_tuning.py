"""The exercise of lesson 3: a fact of the learner's own, taught to a new adapter and asked for. Called by `attempt`."""

from __future__ import annotations

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
        NotYet: a field is empty, the answer too long or known already, or it was not learned.
    """
    if not question.strip() or not answer.strip():
        raise NotYet("write a question and its answer.")
    if len(answer.split()) > MAX_WORDS:
        raise NotYet(f"keep the answer within {MAX_WORDS} words; one sample teaches a short answer best.")
    prompt = f"Question: {question}\n\nAnswer:"
    before = _asked(base, prompt)
    if answer.strip().lower() in before.lower():
        raise NotYet(f"the model knew that already ({before!r}); ask something only you know.")
    adapter = base.create_model_adapter(name="exercise")
    try:
        adapter.fine_tune(samples=[{"inputs": f"{prompt} {answer.strip()}"}])
        after = _asked(adapter, prompt)
    finally:
        adapter.delete()
    if answer.strip().lower() not in after.lower():
        raise NotYet(f"after the fine-tune it says {after!r}.")
    return f"Before: {before!r}. After: {after!r}."


def _asked(model: Any, prompt: str) -> str:
    return model.complete(query=prompt, max_generated_token_count=ASK_TOKENS).generated_output.strip()
