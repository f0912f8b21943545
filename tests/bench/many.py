"""Many at once: throughput of eight and of thirty, fairness, answers that stay the same, answers during a fine-tune.

Every client is a workspace with a connection of its own, as thirty notebooks are. Here we are our own peer: one stream,
or one client alone, through the same service in the same run.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from threading import Event, Thread
from time import sleep
from typing import TYPE_CHECKING

from .figures import Row
from .processes import Bench, Service, alternate
from .workload import FACTS, Answered, ask, sample, story, together, tokens_in

if TYPE_CHECKING:
    from gradientai import BaseModel, ModelAdapter

TOKENS = 64
SHORT = 16
ROUNDS = 4  # questions that each of the thirty asks, one after the other
CROWD = 40  # questions that a greedy client has in flight
SETTLE_SECONDS = 0.5  # until what was called in another thread is at work
FINE_TUNE_SECONDS = 120


def eight(bench: Bench) -> Iterator[Row]:
    """Eight completions at once against one alone, in tokens per second together: on one model, over eight adapters.

    Each is 64 tokens on a prompt of its own. "One stream" is one client with eight such completions, one after the
    other, on one model of the same kind; its prompts are others, or they would be found in llama.cpp's cache.
    Afterwards the first side's prompts are asked one by one: at temperature 0 the answers should be the same.
    """
    with bench.service("eight") as service:
        base = [service.base(f"client{number}") for number in range(8)]
        yield from _concurrent(bench, service, "one model", base, bench.times(4), 1.5)
        # llama.cpp answers different adapters one after the other: only many figures tell a tie from a loss of 1 %.
        adapters = [_quiet_adapter(base[n], n) for n in range(8)]
        yield from _concurrent(bench, service, "eight adapters", adapters, bench.times(12), 1.0)


def thirty(bench: Bench) -> Iterator[Row]:
    """Thirty clients against eight, in tokens per second together; when each client is done; one among a crowd.

    Each client asks four questions of 16 tokens, one after the other. The spread is the time between the first client's
    end and the last one's, as a share of the whole: 0 when all get the same. Then one client asks a single question,
    alone and while another client has forty in flight: fair is a wait of about one turn, not of forty.
    """
    with bench.service("thirty", "--no-preload") as service:
        models = [service.base(f"client{number}") for number in range(30)]
        spreads: list[float] = []

        def rate(count: int, index: int) -> float:
            first = 1000 * (index + 1) + 10 * count  # other stories for the eight than for the thirty
            jobs = [partial(_ask_several, models[number], first + ROUNDS * number) for number in range(count)]
            seconds, finished, answers = together(jobs)
            if count == 30:
                spreads.append((max(finished) - min(finished)) / max(finished))
            return sum(_count(bench, SHORT, each) for each in answers) / seconds

        crowd, room = alternate(bench.times(2), (service, partial(rate, 30)), (service, partial(rate, 8)))
        alone, among = alternate(
            bench.times(3), (service, partial(_one_question, service)), (service, partial(_among_a_crowd, service))
        )
    yield Row("thirty clients", crowd, "tokens/s", room, "eight clients", at_least=1.0)
    yield Row("thirty clients, spread of their ends", spreads[1:], "of the whole")
    yield Row(f"one question while another client has {CROWD} in flight", among, peer=alone, peer_name="alone")


def during_fine_tune(bench: Bench) -> Iterator[Row]:
    """64 tokens for one client while another's fine-tune runs, against the same without.

    The goal is twice the time: the two share the cores. The fine-tune has eight samples and is let end before the next
    figure; a figure counts only if it was still running at the end of the answer.
    """
    with bench.service("during") as service:
        model, teacher = service.base("asks"), service.base("teaches")
        adapter = teacher.create_model_adapter(name="long", learning_rate=1e-5)  # too slow to be learned early
        samples = [sample(question, answer) for question, answer in FACTS[:8]]
        outlasted: list[bool] = []

        def alone(index: int) -> float:
            return ask(model, story(index + 1), TOKENS).seconds

        def during(index: int) -> float:
            ended = Event()

            def teach() -> None:
                adapter.fine_tune(samples=samples)
                ended.set()

            thread = Thread(target=teach, daemon=True)
            thread.start()
            sleep(SETTLE_SECONDS if index >= 0 else 0)
            seconds = ask(model, story(index + 1), TOKENS).seconds
            outlasted.append(not ended.is_set())
            thread.join(FINE_TUNE_SECONDS)
            return seconds

        quiet, shared = alternate(bench.times(3), (service, alone), (service, during))
    kept = [(ours, theirs) for ours, theirs, good in zip(shared, quiet, outlasted[1:], strict=True) if good]
    if not kept:
        raise RuntimeError("every fine-tune ended before the answer did: give it more samples")
    ours, theirs = map(list, zip(*kept, strict=True))
    yield Row("64 tokens during another's fine-tune", ours, peer=theirs, peer_name="alone", at_most=2.0)


def _concurrent(
    bench: Bench, service: Service, name: str, models: Sequence[BaseModel | ModelAdapter], times: int, least: float
) -> Iterator[Row]:
    said: dict[tuple[int, str], str] = {}

    def one(index: int) -> float:
        prompts = [story(8 * (index + 1) + number + 480) for number in range(len(models))]
        answers = [ask(models[0], prompt, TOKENS) for prompt in prompts]
        return _count(bench, TOKENS, answers) / sum(answer.seconds for answer in answers)

    def all_at_once(index: int) -> float:
        prompts = [story(8 * (index + 1) + number) for number in range(len(models))]
        seconds, _, answers = together(
            [partial(ask, model, prompt, TOKENS) for model, prompt in zip(models, prompts, strict=True)]
        )
        for number, (prompt, answer) in enumerate(zip(prompts, answers, strict=True)):
            said[number, prompt] = answer.text
        return _count(bench, TOKENS, answers) / seconds

    many, single = alternate(times, (service, all_at_once), (service, one))
    yield Row(f"eight at once, {name}", many, "tokens/s", single, "one stream", at_least=least)

    pairs = list(said.items())[: bench.times(24, 4)]
    alone = [(prompt, text, ask(models[number], prompt, TOKENS).text) for (number, prompt), text in pairs]
    differ = [f"after {prompt!r} {_fork(text, other)}" for prompt, text, other in alone if text != other]
    note = "; ".join(differ[:3])
    yield Row(
        f"eight at once, {name}, answers not as one by one", [len(differ)], f"of {len(pairs)}", at_most=0, note=note
    )


def _fork(text: str, other: str) -> str:
    """Where two texts part."""
    place = next((i for i, (a, b) in enumerate(zip(text, other, strict=False)) if a != b), min(len(text), len(other)))
    return f"at character {place}: {text[place : place + 20]!r} at once, {other[place : place + 20]!r} alone"


def _quiet_adapter(base: BaseModel, number: int) -> ModelAdapter:
    """An adapter that has learned a fact so gently that it still tells stories."""
    adapter = base.create_model_adapter(name=f"quiet {number}", learning_rate=2e-4)
    adapter.fine_tune(samples=[sample(*FACTS[number])])
    return adapter


def _ask_several(model: BaseModel, first: int) -> list[Answered]:
    return [ask(model, story(first + number), SHORT) for number in range(ROUNDS)]


def _one_question(service: Service, index: int) -> float:
    return ask(service.base("asks"), story(9000 + index), SHORT).seconds


def _among_a_crowd(service: Service, index: int) -> float:
    """The time of one question, asked just after another client's many; both have just connected."""
    greedy, modest = service.base("greedy"), service.base("asks")

    def late() -> float:
        sleep(SETTLE_SECONDS)  # the forty are there
        return ask(modest, story(9200 + index), SHORT).seconds

    stories = [story(9500 + CROWD * (index + 1) + number) for number in range(CROWD)]
    _, _, results = together([*(partial(ask, greedy, text, SHORT) for text in stories), late])
    return results[-1]


def _count(bench: Bench, limit: int, answers: Sequence[Answered]) -> int:
    return sum(tokens_in(answer, limit, bench.weights.folder) for answer in answers)
