"""How long a book takes to become a collection that can be asked, and what another learner notices of it meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from time import monotonic, perf_counter, sleep

from .figures import Row
from .processes import STEP_SECONDS, Bench, Service
from .workload import FACTS, ask, story

WORDS_A_PAGE = 500
LOOK_SECONDS = 0.05


def ingestion(bench: Bench) -> Iterator[Row]:
    """A text of a hundred pages, from `create_rag_collection` to `succeeded`; others' answers meanwhile; its search.

    Sentences are those of the facts that are taught elsewhere, numbered so that none is like another. The embedder has
    been fetched and loaded before, by a collection of one sentence.
    """
    pages = bench.times(100, 5)
    with bench.service("retrieval", "--no-preload") as service:
        _ingest(service, "warm-up", "One sentence.")
        alone = [ask(service.base("another"), story(number), 8).seconds for number in range(5)]
        meanwhile: list[float] = []
        book, seconds = _ingest(service, "book", _text(pages * WORDS_A_PAGE), meanwhile)
        asked = [_search(service, book, question) for question, _ in FACTS[:5]]
    yield Row(f"{pages} pages into a collection", [seconds])
    yield Row(
        "8 tokens during another's ingestion", meanwhile[: len(alone)], peer=alone[: len(meanwhile)], peer_name="alone"
    )
    yield Row("one token from a collection of that size", asked)


def _text(words: int) -> str:
    lines, count = [], 0
    while count < words:
        question, answer = FACTS[len(lines) % len(FACTS)]
        lines.append(f"Of case {len(lines)} it is asked: {question} The answer, as everyone there knows, is {answer}.")
        count += len(lines[-1].split())
    return " ".join(lines)


def _ingest(service: Service, name: str, text: str, meanwhile: list[float] | None = None) -> tuple[str, float]:
    """The collection's id and the seconds until it is there; the seconds of others' answers go into a list."""
    path = service.data.parent / f"{name}.txt"
    path.write_text(text, encoding="utf-8")
    client, other = service.gradient(), service.base("another")
    began = perf_counter()
    collection = client.create_rag_collection(name=name, slug="bge-large", filepaths=[str(path)])
    deadline = monotonic() + STEP_SECONDS
    while (status := client.get_rag_collection(id_=collection.id_).files[0]["status"]) != "succeeded":
        if status == "failed" or monotonic() > deadline:
            raise RuntimeError(f"the ingestion is {status}")
        if meanwhile is not None:
            meanwhile.append(ask(other, story(len(meanwhile)), 8).seconds)
        sleep(LOOK_SECONDS)
    return collection.id_, perf_counter() - began


def _search(service: Service, collection: str, question: str) -> float:
    base = service.base()
    began = perf_counter()
    base.complete(query=question, rag={"collectionId": collection}, max_generated_token_count=1)
    return perf_counter() - began
