"""Vectors of texts: one sentence, a hundred short ones, the first call after a start, and an answer beside them."""

from __future__ import annotations

from collections.abc import Iterator
from threading import Event, Thread
from time import perf_counter

from .figures import Row
from .processes import Bench
from .workload import ask, story

SLUG = "bge-large"
WARM_UPS = 3


def embeddings(bench: Bench) -> Iterator[Row]:
    """The `embed` call through the SDK and HTTP: one sentence, a hundred short ones, and answers beside the latter.

    The model's files are in the cache before: a first call that is not timed sees to that. The first call after a
    start loads the network. Beside vectors that are made without a pause, another workspace asks for 32 tokens.
    """
    with bench.service("embeddings-files") as service:
        service.gradient().get_embeddings_model(slug=SLUG).embed(inputs=_texts(1))
    with bench.service("embeddings") as service:
        model = service.gradient().get_embeddings_model(slug=SLUG)

        def seconds(count: int, index: int) -> float:
            texts = _texts(count, index)
            began = perf_counter()
            model.embed(inputs=texts)
            return perf_counter() - began

        yield Row("first text after `ready`", [seconds(1, 0)])
        for count, times, most in ((1, bench.times(20, 5), 0.03), (100, bench.times(10, 3), 1.0)):
            for warm_up in range(WARM_UPS):
                seconds(count, warm_up)
            what = "one sentence, `embed`" if count == 1 else f"{count} short texts, `embed`"
            yield Row(what, [seconds(count, index) for index in range(times)], at_most=most)
        base, over = service.base("another"), Event()
        alone = [ask(base, story(index), 32).seconds for index in range(bench.times(6, 2))]
        busy = Thread(target=lambda: [seconds(100, 0) for _ in iter(over.is_set, True)])
        busy.start()
        try:
            beside = [ask(base, story(len(alone) + index), 32).seconds for index in range(len(alone))]
        finally:
            over.set()
            busy.join()
        yield Row("32 tokens beside vectors without a pause", beside, peer=alone, peer_name="alone")


def _texts(count: int, salt: int = 0) -> list[dict[str, str]]:
    """Sentences of 10 to 24 words, none twice."""
    more = ("", " on a calm day in May", " on a calm day in May while the gulls were crying over the old pier")
    return [
        {"input": f"Boat number {number} of fleet {salt} came into the harbour at noon{more[number % 3]}."}
        for number in range(count)
    ]
