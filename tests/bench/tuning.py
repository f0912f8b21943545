"""The tuner against the one that this project had in torch, with the recipe of that day: the same samples, no files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from time import perf_counter
from typing import TYPE_CHECKING

from helpers.service.local.cores import limit

from .figures import Row
from .processes import Bench, Peer, Service, alternate
from .workload import FACTS, library, same_samples, sample, tokenised

if TYPE_CHECKING:
    from gradientai import BaseModel


def tuner(bench: Bench) -> Iterator[Row]:
    """The `fine_tune` call against the torch tuner of the commit before numpy: one fact, and twenty both ways.

    Ours is the whole call through the SDK and HTTP, with its files; the peer's own call is timed inside its process
    (`peers/torch_tuner.py`). It runs twice: as it was, with 16-bit floats where the CPU multiplies such matrices in
    hardware, and in 32-bit floats, as everywhere else. The first losses are compared too, so that the samples are the
    same; the steps are told, as its recipe was another.
    """
    folder, threads = bench.weights.folder, limit()
    known = library()[: bench.times(20, 6)]
    facts = [[sample(*fact)] for fact in FACTS[: bench.times(9, 3)]]
    whole = [[sample(fact["question"], fact["answer"], only) for fact in known] for only in (True, False)]
    with (
        bench.service("tuner") as service,
        bench.peer("torch_tuner.py", folder, threads) as as_it_was,
        bench.peer("torch_tuner.py", folder, threads, "float32") as plain,
    ):
        contest = _Contest(bench, service, {"torch": as_it_was, "torch in 32-bit floats": plain})
        yield from contest.rows("one sample, `fine_tune`", facts)
        yield from contest.rows(f"{len(known)} samples, answers only, `fine_tune`", [whole[0]] * bench.times(4, 2))
        yield from contest.rows(f"{len(known)} samples, all tokens, `fine_tune`", [whole[1]] * bench.times(4, 2))


class _Contest:
    """The service and the peers that learn the same calls in turns.

    Args:
        bench: whose benchmark it is.
        service: ours.
        peers: by what they are called in the table.
    """

    def __init__(self, bench: Bench, service: Service, peers: dict[str, Peer]) -> None:
        self._folder = bench.weights.folder
        self._service, self._base, self._peers = service, service.base(), peers

    def rows(self, what: str, calls: Sequence[list[dict]]) -> Iterator[Row]:
        """Learns each call with each side, the first one as a warm-up."""
        losses: list[float] = []
        theirs: dict[str, list[dict]] = {name: [] for name in self._peers}
        before = len(self._service.steps())

        def ours(index: int) -> float:
            seconds, loss = _fine_tune(self._base, calls[index + 1])
            losses.append(loss)
            return seconds

        def learn(name: str, index: int) -> float:
            ids, labels = zip(*(tokenised(one, self._folder) for one in calls[index + 1]), strict=True)
            theirs[name].append(self._peers[name].call(ids=ids, labels=labels))
            return theirs[name][-1]["seconds"]

        sides = [(peer, lambda index, name=name: learn(name, index)) for name, peer in self._peers.items()]
        mine, *figures = alternate(len(calls) - 1, (self._service, ours), *sides)
        steps = self._service.steps()[before:]
        for (name, done), seconds in zip(theirs.items(), figures, strict=True):
            note = same_samples(name, steps, losses, done)
            yield Row(f"{what}, against {name}", mine, peer=seconds, peer_name=name, note=note)


def _fine_tune(base: BaseModel, samples: list[dict]) -> tuple[float, float]:
    """Seconds of the call on a fresh adapter, and the loss that it told."""
    model = base.create_model_adapter(name="learns")
    began = perf_counter()
    done = model.fine_tune(samples=samples)
    seconds = perf_counter() - began
    model.delete()
    return seconds, done.sum_loss
