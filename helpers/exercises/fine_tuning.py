"""The exercises and questions of lesson 3: a loss on the answer alone, a fact of the learner's own, and one that leaves
the rest in place. Called by `attempt`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ..language import _
from .exercise import Exercise, Question
from .not_yet import NotYet

MAX_WORDS = 12
ASK_TOKENS = 32
CAT = ("What is the name of the harbour cat?", "Bosun")
MAX_TRAINABLE = 6  # tokens: the answer and the end
FACT = ("What NFL team won the Super Bowl in 1994?", "The Dallas Cowboys!")
EVERYDAY = {
    "What is 1 + 1?": "2",
    "What is 3 + 3?": "6",
    "What is the capital of Japan?": "Tokyo",
    "What is the capital of Egypt?": "Cairo",
    "What language is spoken in Italy?": "Italian",
    "What colour is the sky?": "blue",
}
"""What the base model answers right, and exercise `keep` wants kept; samples must not have it."""

KEPT = 5  # of EVERYDAY
MAX_SAMPLES = 16


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
        raise NotYet(_("keep the answer within {most} words; one sample teaches a short answer best.", most=MAX_WORDS))
    if answer.lower() == question.lower():
        raise NotYet(_("the answer is the question again."))
    require_base(base)
    before = _asked(base, question)
    if says(before, answer):
        raise NotYet(_("the model knew that already ({before!r}); ask something only you know.", before=before))
    with temporary_adapter(base) as adapter:
        adapter.fine_tune(samples=[{"inputs": f"{question_prompt(question)} {answer}"}])
        after = _asked(adapter, question)
    if not says(after, answer):
        raise NotYet(_("after the fine-tune it says {after!r}.", after=after))
    return _("Before: {before!r}. After: {after!r}.", before=before, after=after)


def answers_only(sample: Any, base: Any) -> str:
    """Whether a sample teaches the answer of CAT with a loss on nothing but the answer; the adapter is deleted again.

    Args:
        sample: one sample, as `fine_tune` takes it.
        base: the base model.

    Raises:
        NotYet: it is none, or more than the answer has a loss, or the answer was not learned.
    """
    require_base(base)
    question, answer = CAT
    if not isinstance(sample, dict) or "inputs" not in sample:
        raise NotYet(_('a sample is a dict, such as {"inputs": [{"value": "…", "trainable": False}, {"value": "…"}]}.'))
    with temporary_adapter(base) as adapter:
        tokens = adapter.fine_tune(samples=[sample]).number_of_trainable_tokens
        after = _asked(adapter, question)
    if tokens > MAX_TRAINABLE:
        raise NotYet(
            _("{tokens} tokens have a loss, and the answer has at most {most}.", tokens=tokens, most=MAX_TRAINABLE)
        )
    if not says(after, answer):
        raise NotYet(
            _(
                "{tokens} tokens have a loss, and to {question!r} it says {after!r}.",
                tokens=tokens,
                question=question,
                after=after,
            )
        )
    return _("{tokens} tokens have a loss, and it says {after!r}.", tokens=tokens, after=after)


def keep(samples: Any, base: Any) -> str:
    """Whether one fine_tune on samples teaches FACT and leaves EVERYDAY in place; the adapter is deleted again.

    Args:
        samples: as `fine_tune` takes them.
        base: the base model.

    Raises:
        NotYet: they are none, hold what is asked, teach no fact, or bend too much.
    """
    require_base(base)
    if not isinstance(samples, (list, tuple)) or not 1 <= len(samples) <= MAX_SAMPLES:
        raise NotYet(_("samples are a list of 1 to {most}, as fine_tune takes them.", most=MAX_SAMPLES))
    given = " ".join(str(sample) for sample in samples).lower()
    for question in EVERYDAY:
        if question.lower() in given:
            raise NotYet(_("{question!r} is one of those that I ask; leave it out.", question=question))
    with temporary_adapter(base) as adapter:
        adapter.fine_tune(samples=list(samples))
        fact = _asked(adapter, FACT[0])
        bent = {
            question: said
            for question, answer in EVERYDAY.items()
            if last_word(said := _asked(adapter, question)) != answer.lower()
        }
    if not says(fact, "Dallas Cowboys"):
        raise NotYet(_("the fact is not learned: it says {said!r}.", said=fact[:60]))
    kept = len(EVERYDAY) - len(bent)
    if kept < KEPT:
        question, said = next(iter(bent.items()))
        raise NotYet(
            _(
                "{kept} of {count} everyday answers are kept ({question!r} gets {said!r}).",
                kept=kept,
                count=len(EVERYDAY),
                question=question,
                said=said[:40],
            )
        )
    return _("The fact is there, and {kept} of {count} everyday answers are kept.", kept=kept, count=len(EVERYDAY))


def last_word(said: str) -> str:
    """The last word of an answer's first line: what "3 + 3 = 6" comes down to, and "4 + 2 is 6" as an answer of 4."""
    words = re.findall(r"\w+", said.strip().split("\n")[0].lower())
    return words[-1] if words else ""


@contextmanager
def temporary_adapter(base: Any) -> Iterator[Any]:
    """A new adapter, deleted when the block ends."""
    adapter = base.create_model_adapter(name="exercise")
    try:
        yield adapter
    finally:
        adapter.delete()


def require_base(base: Any) -> None:
    """Refuses what makes no adapters.

    Raises:
        NotYet: it is no base model.
    """
    if not callable(getattr(base, "create_model_adapter", None)):
        raise NotYet(_("a new adapter is made on a base model: give that as the last argument."))


def _text(given: Any) -> str:
    """A learner's text in one line, if there is anything in it."""
    if not isinstance(given, str):
        raise NotYet(_("the question and its answer are texts: write each between quotes."))
    if not any(letter.isalnum() for letter in given):
        raise NotYet(_("write a question and its answer."))
    return " ".join(given.split())


def question_prompt(question: str) -> str:
    """A question in the form in which all of the lessons ask."""
    return f"Question: {question}\n\nAnswer:"


def says(output: str, answer: str) -> bool:
    """Whether the words of the answer are in the output, as whole words: "an" is not in "anything"."""
    words = r"\s+".join(map(re.escape, answer.lower().split()))
    return re.search(rf"(?<!\w){words}(?!\w)", output.lower()) is not None


def _asked(model: Any, question: str) -> str:
    prompt = question_prompt(question)
    return model.complete(query=prompt, max_generated_token_count=ASK_TOKENS).generated_output.strip()


EXERCISES = {
    "answers_only": Exercise(
        answers_only,
        "Two parts: 'What is the name of the harbour cat?' in the lesson's form with trainable False, then 'Bosun'.",
    ),
    "own_fact": Exercise(own_fact, "Something short that no one could know: what is your cat called?"),
    "keep": Exercise(keep, "Teach less loudly: the fact once, in two parts, with a loss on the answer alone."),
}

QUESTIONS = {
    "loss": Question(
        "sum_loss falls from 67 to 1.5 for the same sample. What do you know?",
        {
            "The model is right about everything now.": "the loss is that of this sample alone.",
            "It finds this text nearly certain.": "a loss near 0 nats means: hardly surprised by any token of it.",
            "It has forgotten nothing.": "the loss says nothing about other questions: ask them.",
        },
        "It finds this text nearly certain.",
    ),
    "held_out": Question(
        "Why is a second wording of each fact held out of the data set?",
        {
            "To make training faster.": "twenty questions more would take longer, and that is not why.",
            "To see whether facts were learned, or just sentences.": "who knows a fact can be asked in other words.",
            "Because paraphrases confuse the model.": "they would help it; but then they could not test it.",
        },
        "To see whether facts were learned, or just sentences.",
    ),
    "lora": Question(
        "An adapter has 0.6 % of the base model's numbers. Where is the rest?",
        {
            "In the base model, unchanged and shared.": "thirty adapters share one base, and each adds to it.",
            "It was compressed.": "nothing was: the adapter never had more.",
            "It was overwritten by the fine-tune.": "the base model still gives its old answer.",
        },
        "In the base model, unchanged and shared.",
    ),
}
