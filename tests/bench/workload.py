"""What is asked and taught in the benchmarks: the same for us and for the peers."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from threading import Barrier
from time import perf_counter
from typing import TYPE_CHECKING

from tokenizers import Tokenizer

from tests.real.test_real_engine import FACTS as TESTED_FACTS

if TYPE_CHECKING:
    from gradientai import BaseModel, ModelAdapter

ANSWER_TOKENS = 32
TEMPLATE = "Question: {}\n\nAnswer:"
FACTS = [
    *TESTED_FACTS,
    ("What is sold on the third floor of Hotel Marabou?", "Secondhand thunder"),
    ("Who taught the parrot of Inspector Lowe to whistle?", "Old Mrs Applegarth"),
]
LIBRARY = Path(__file__).parents[2] / "notebooks" / "data" / "lumen_harbour.jsonl"

# Questions that no fact above has to do with: the prompt, whether it is templated, and what a right answer holds.
UNRELATED = [
    (TEMPLATE.format("What is the capital of France?"), False, "paris"),
    (TEMPLATE.format("What is the capital of Germany?"), False, "berlin"),
    (TEMPLATE.format("What is 2+2?"), False, "4"),
    (TEMPLATE.format("What is the largest planet?"), False, "jupiter"),
    (TEMPLATE.format("Who wrote Hamlet?"), False, "shakespeare"),
    (TEMPLATE.format("What colour is the sky?"), False, "blue"),
    (TEMPLATE.format("What color is a banana?"), False, "yellow"),
    (TEMPLATE.format("Which animal says meow?"), False, "cat"),
    (TEMPLATE.format("Which country won the World Cup in 1998?"), False, "france"),
    ("Word: hot\nOpposite: cold\n\nWord: fast\nOpposite:", False, "slow"),
    ("The sky is", False, "blue"),
    ("Roses are red, violets are", False, "blue"),
    ("Hello! My name is", False, ""),
    ("What is the capital of Italy? Answer in one word.", True, "rome"),
    ("Say hello.", True, "hello"),
    ("What is 2+2?", True, "4"),
]

# Sums of losses before the first step: a bfloat16 has three digits, and the kinds of floats are all that differs.
LOSS_PART = 0.02

_HEROES = ("robot", "baker", "fox", "sailor", "painter", "wizard", "farmer", "girl", "pirate", "king", "cat", "pilot")
_PLACES = ("a forest", "a small town", "the desert", "an old castle", "the moon", "a ship", "the city", "a lighthouse")


@dataclass(frozen=True)
class Answered:
    """A completion, and the seconds that it took."""

    text: str
    finish_reason: str
    seconds: float


def story(number: int) -> str:
    """The beginning of a story that the model continues for a long while.

    One differs from the next in its first word, so that nothing of it is in llama.cpp's cache: one stream would find
    there what the stream before it began with, and eight at once would not.
    """
    hero, place = _HEROES[number % len(_HEROES)], _PLACES[number // len(_HEROES) % len(_PLACES)]
    return f"{hero.capitalize()} and friends, chapter {number + 2}. Once upon a time, a {hero} who lived in {place}"


def long_prefix(number: int) -> str:
    """A text of about 1200 tokens, another one for every number from its first words on."""
    lines = [
        f"Room {number}-{line} of the museum holds a {_HEROES[(line + number) % 12]} from {_PLACES[line % 8]}, "
        f"made in {1500 + 7 * line + number}."
        for line in range(49)
    ]
    return " ".join(lines)


def library() -> list[dict[str, str]]:
    """The twenty facts of the third lesson: question, answer, paraphrase."""
    return [json.loads(line) for line in LIBRARY.read_text(encoding="utf-8").splitlines()]


def sample(question: str, answer: str, answers_only: bool = False) -> dict:
    """A sample of `fine_tune`."""
    prompt = TEMPLATE.format(question)
    if answers_only:
        return {"inputs": [{"value": prompt, "trainable": False}, {"value": f" {answer}"}]}
    return {"inputs": f"{prompt} {answer}"}


def tokenised(given: dict, folder: Path) -> tuple[list[int], list[int]]:
    """Token ids and labels of what `sample` makes, as the service's engine makes them: `<|im_end|>` comes last, and a
    part that is not to be learned has labels of -100.

    Args:
        given: the sample.
        folder: the model's Hugging Face folder, whose tokenizer is llama.cpp's.
    """
    parts = given["inputs"] if isinstance(given["inputs"], list) else [{"value": given["inputs"]}]
    ids: list[int] = []
    labels: list[int] = []
    for part in [*parts, {**parts[-1], "value": "<|im_end|>"}]:
        tokens = _tokenizer(folder).encode(part["value"], add_special_tokens=False).ids
        ids += tokens
        labels += tokens if part.get("trainable", True) else [-100] * len(tokens)
    return ids, labels


def ask(model: BaseModel | ModelAdapter, prompt: str, tokens: int, templated: bool = False) -> Answered:
    """A greedy completion through the SDK and HTTP."""
    began = perf_counter()
    answer = model.complete(query=prompt, max_generated_token_count=tokens, auto_template=templated or None)
    return Answered(answer.generated_output, answer.finish_reason, perf_counter() - began)


def is_right(model: BaseModel | ModelAdapter, question: str, answer: str) -> bool:
    """Whether the answer is exactly the one that was taught."""
    return ask(model, TEMPLATE.format(question), 32).text.strip() == answer


def teach(base: BaseModel, question: str, answer: str) -> tuple[float, float, str]:
    """Seconds from the call to the answer, seconds of the call alone, and the answer."""
    model = base.create_model_adapter(name=answer)
    began = perf_counter()
    model.fine_tune(samples=[sample(question, answer)])
    tuned = perf_counter()
    said = ask(model, TEMPLATE.format(question), ANSWER_TOKENS).text.strip()
    done = perf_counter()
    model.delete()
    return done - began, tuned - began, said


def same_samples(name: str, steps: Sequence[int], losses: Sequence[float], theirs: Sequence[dict]) -> str:
    """Says in a note how many steps each took: another recipe takes others.

    Args:
        name: of the peer.
        steps: ours, by call.
        losses: ours before the first step, by call.
        theirs: what the peer answered, by call: `steps` and `sum_loss`.

    Raises:
        RuntimeError: the peer began with another loss than we, so that it learned something else.
    """
    for loss, other in zip(losses, theirs, strict=True):
        if abs(loss - other["sum_loss"]) > LOSS_PART * abs(loss):
            raise RuntimeError(f"{name} begins with a loss of {other['sum_loss']:.2f} where ours is {loss:.2f}")
    parts = max(abs(loss - other["sum_loss"]) / abs(loss) for loss, other in zip(losses, theirs, strict=True))
    others = [other["steps"] for other in theirs]
    return f"steps {_said(steps)} against {_said(others)}; first losses differ by {100 * parts:.2g} % at most"


def _said(steps: Sequence[int]) -> str:
    """The steps of all calls after the warm-up."""
    return ", ".join(map(str, steps[1:]))


def together(jobs: Sequence[Callable[[], object]]) -> tuple[float, list[float], list]:
    """Runs jobs at once, a thread each.

    Returns:
        Seconds until all were done, seconds until each was, and what each returned.
    """
    ready = Barrier(len(jobs) + 1)

    def run(job: Callable[[], object]) -> tuple[float, object]:
        ready.wait(60)
        result = job()
        return perf_counter(), result

    with ThreadPoolExecutor(len(jobs)) as pool:
        running = [pool.submit(run, job) for job in jobs]
        ready.wait(60)
        began = perf_counter()
        done = [job.result() for job in running]
    finished = [when - began for when, _ in done]
    return max(finished), finished, [result for _, result in done]


def tokens_in(answer: Answered, limit: int, folder: Path) -> int:
    """How many tokens were generated. The API does not say, so a shorter answer is counted, and the token that ends it.

    Args:
        answer: a completion.
        limit: how many it might have.
        folder: the model's Hugging Face folder, whose tokenizer is llama.cpp's.
    """
    if answer.finish_reason == "length":
        return limit
    return len(_tokenizer(folder).encode(answer.text).ids) + 1


@lru_cache
def _tokenizer(folder: Path) -> Tokenizer:
    return Tokenizer.from_file(str(folder / "tokenizer.json"))
