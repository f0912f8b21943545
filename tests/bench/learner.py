"""What one learner notices: how fast an answer comes through the SDK and HTTP, against the engines without our code."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from .figures import Row
from .processes import Bench, Peer, alternate
from .workload import FACTS, ask, long_prefix, sample, story, tokens_in

if TYPE_CHECKING:
    from gradientai import BaseModel, ModelAdapter

TOKENS = 64
SHORT = 8
QUIET_RATE = 2e-4  # an adapter tuned so gently still tells stories, and costs llama.cpp what any adapter costs


def base_model(bench: Bench) -> Iterator[Row]:
    """64 tokens, and 8, of the base model against bare llama.cpp.

    The service is asked through the SDK and HTTP; the peer's own call is timed inside its process. Both have the same
    weights, threads, slots and cache (`peers/bare_llama.py`), get the same new prompt in each pair, and neither has a
    tuner loaded.
    """
    with bench.service("base", "--no-preload") as service, bench.llama() as llama:
        yield from _against(bench, "base model", service, service.base(), llama)


def adapter(bench: Bench) -> Iterator[Row]:
    """64 tokens, and 8, of an adapter against bare llama.cpp with the same adapter file.

    Bare llama.cpp has that one adapter, always applied; all else is as in `base_model`.
    """
    with bench.service("adapter") as service:
        model = service.base().create_model_adapter(name="quiet", learning_rate=QUIET_RATE)
        model.fine_tune(samples=[sample(*FACTS[0])])
        with bench.llama(service.folder_of(model) / "adapter.gguf") as llama:
            yield from _against(bench, "adapter", service, model, llama)


def transformers(bench: Bench) -> Iterator[Row]:
    """64 tokens of the base model against plain transformers `generate`, greedy, same weights, as many threads."""
    from helpers.service.local.cores import limit

    with (
        bench.service("generate", "--no-preload") as service,
        bench.peer("plain_generate.py", bench.weights.folder, limit()) as peer,
    ):
        model = service.base()
        ours, theirs = alternate(
            bench.times(5, 2), (service, _our_rate(bench, model, TOKENS)), (peer, _peer_rate(peer, TOKENS))
        )
    yield Row("64 tokens, base model, transformers", ours, "tokens/s", theirs, "`generate`")


def prefix(bench: Bench) -> Iterator[Row]:
    """A second question after the same long text, against the first, and against bare llama.cpp's second.

    The text has about 1200 tokens and is another one in each repetition, so that nothing of it is known before the
    first question. 8 tokens are answered.
    """
    firsts: list[float] = []
    lengths: set[int] = set()

    with bench.service("prefix", "--no-preload") as service, bench.llama() as llama:
        model = service.base()

        def ours(index: int) -> float:
            text = long_prefix(index + 1)
            firsts.append(ask(model, f"{text}\n\nQuestion: Who is in the first room?\n\nAnswer:", SHORT).seconds)
            return ask(model, f"{text}\n\nQuestion: What is in the last room?\n\nAnswer:", SHORT).seconds

        def bare(index: int) -> float:
            text = long_prefix(index + 1)
            llama.ask(f"{text}\n\nQuestion: Who is in the first room?\n\nAnswer:", tokens=SHORT)
            done = llama.ask(f"{text}\n\nQuestion: What is in the last room?\n\nAnswer:", tokens=SHORT)
            lengths.add(done["answers"][0]["prompt_tokens"])
            return done["seconds"]

        seconds, theirs = alternate(bench.times(2), (service, ours), (llama, bare))
    note = f"prompts of up to {max(lengths)} tokens"
    yield Row("second question, same long prefix", seconds, "s", firsts[1:], "the first", at_most=0.2, note=note)
    yield Row("second question, bare", seconds, peer=theirs, peer_name="bare llama.cpp's second")


def _against(bench: Bench, name: str, service, model: BaseModel | ModelAdapter, llama: Peer) -> Iterator[Row]:
    ours, theirs = alternate(
        bench.times(9, 3), (service, _our_rate(bench, model, TOKENS)), (llama, _peer_rate(llama, TOKENS))
    )
    yield Row(f"64 tokens, {name}", ours, "tokens/s", theirs, "bare llama.cpp", at_least=0.95)

    ours, theirs = alternate(
        bench.times(15, 3),
        (service, lambda index: 1000 * ask(model, story(index + 50), SHORT).seconds),
        (llama, lambda index: 1000 * llama.ask(story(index + 50), tokens=SHORT)["seconds"]),
    )
    yield Row(f"8 tokens, {name}", ours, "ms", theirs, "bare llama.cpp", difference=True, at_most=15)


def _our_rate(bench: Bench, model: BaseModel | ModelAdapter, tokens: int) -> Callable[[int], float]:
    def measure(index: int) -> float:
        answer = ask(model, story(index + 1), tokens)
        return tokens_in(answer, tokens, bench.weights.folder) / answer.seconds

    return measure


def _peer_rate(peer: Peer, tokens: int) -> Callable[[int], float]:
    def measure(index: int) -> float:
        done = peer.ask(story(index + 1), tokens=tokens)
        return sum(answer["tokens"] for answer in done["answers"]) / done["seconds"]

    return measure
