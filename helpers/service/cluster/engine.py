"""The engine of a service whose work is done by the workers of a cluster.

It knows the model by its files, as each worker has them too, and has everything computed by a worker that
`routing.py` chooses. A call whose worker dies is made again on another: a completion changes nothing, and a fine-tune
is a function of the adapter as it was and of its samples, so nothing of the first try remains. Made by `on_ray.py`.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from .. import logs
from ..engine import (
    AdapterState,
    ClusterLoad,
    Completion,
    CompletionRequest,
    LikelyToken,
    Places,
    Token,
    TuningOutcome,
    TuningSample,
)
from ..local.held_weights import HeldWeights
from ..local.model_files import Weights
from ..refusals import Failed
from .parcels import Outbox, Parcel, unpack
from .routing import Router, Work, WorkerGone
from .worker import Tuned

TRIES = 4  # workers that may die in one call: more, and it is most likely the call that they die of
NEVER = threading.Event()


class ClusterEngine(HeldWeights):
    """Answers, tunes and embeds on workers.

    Args:
        weights: the model on disk, here.
        router: the workers there are.
        put: hands a parcel to the cluster's object store and returns a ticket for it.
        close: leaves the cluster.
    """

    def __init__(
        self, weights: Weights, router: Router, put: Callable[[Parcel], Any], close: Callable[[], None]
    ) -> None:
        super().__init__(weights)
        self._router = router
        self._outbox = Outbox(put)
        self._close = close

    def complete(
        self, request: CompletionRequest, base_slug: str, adapter: AdapterState | None, given_up: threading.Event
    ) -> Completion:
        return self._asked_of_a_model("complete", (request, base_slug), adapter, given_up)

    def next_tokens(
        self, prompt: str, count: int, base_slug: str, adapter: AdapterState | None, given_up: threading.Event
    ) -> list[LikelyToken]:
        return self._asked_of_a_model("next_tokens", (prompt, count, base_slug), adapter, given_up)

    def fine_tune(
        self, samples: list[TuningSample], adapter: AdapterState, into: Path, given_up: threading.Event
    ) -> TuningOutcome:
        sent = self._outbox.send(adapter)
        tuned: Tuned = self._ask(Work.TUNE, _key(into), "fine_tune", samples, sent, given_up=given_up)
        unpack(tuned.parcel, into)
        return tuned.outcome

    def tokenize(self, text: str) -> list[Token]:
        return self._ask(Work.COMPLETE, None, "tokenize", text, given_up=NEVER)

    def embed(self, texts: Sequence[str], given_up: threading.Event) -> list[list[float]]:
        return self._ask(Work.COMPLETE, None, "embed", list(texts), given_up=given_up)

    def embedding_tokens(self, texts: Sequence[str], given_up: threading.Event) -> int:
        return self._ask(Work.COMPLETE, None, "embedding_tokens", list(texts), given_up=given_up)

    @property
    def doing(self) -> tuple[str, float] | None:
        return next((about.doing for about in self._router.abouts if about.doing is not None), None)

    @property
    def places(self) -> Places:
        return self._router.places

    @property
    def broken(self) -> str | None:
        return self._router.broken

    def prepare_tuning(self) -> None:
        for worker in self._router.workers:
            worker.tell("prepare_tuning")

    def load(self) -> ClusterLoad:
        abouts = self._router.abouts
        loads = [(about.host, about.load) for about in abouts if about.load is not None]
        machines = dict(loads).values()
        return ClusterLoad(
            threads=sum(load.threads for _, load in loads),
            cores=sum(load.cores for load in machines),
            others=sum(load.others for load in machines),
            tuners=sum(load.tuners for _, load in loads),
            workers=len(abouts),
        )

    def close(self) -> None:
        self._close()

    def _asked_of_a_model(
        self, method: str, asked: tuple[Any, ...], adapter: AdapterState | None, given_up: threading.Event
    ) -> Any:
        sent = None if adapter is None else self._outbox.send(adapter)
        key = None if adapter is None or adapter.folder is None else _key(adapter.folder)
        return self._ask(Work.COMPLETE, key, method, *asked, sent, given_up=given_up)

    def _ask(self, work: Work, key: str | None, method: str, *arguments: Any, given_up: threading.Event) -> Any:
        """What a worker answers to a call, or another if it dies, up to TRIES of them.

        Raises:
            Refusal: whatever the worker refuses; there is no worker; as many as TRIES have died.
        """
        for _ in range(TRIES):
            with self._router.worker(work, key, given_up) as worker:
                try:
                    return worker.ask(method, *arguments, given_up=given_up)
                except WorkerGone as gone:
                    self._router.leave(worker, str(gone))
                    logs.event("worker-gone", logging.WARNING, worker=worker.name, call=method, reason=gone)
        raise Failed(
            f"{TRIES} workers ended one after another while they worked on this call, which has changed nothing: try "
            "again, with fewer or shorter texts; the log says how they ended."
        )


def _key(version: Path) -> str:
    """Tells an adapter from others, whatever its version: the store keeps all versions of one in one folder."""
    return version.parent.name
