"""Workers of a cluster without Ray: each is a `Worker` in this process, called on threads, that can be killed.

What goes to a worker and back is pickled on the way, as Ray does, so that nothing is shared.
"""

from __future__ import annotations

import pickle
import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from typing import Any

from helpers.service.cluster.engine import ClusterEngine
from helpers.service.cluster.parcels import Parcel
from helpers.service.cluster.routing import Router, WorkerGone
from helpers.service.cluster.worker import Worker
from helpers.service.refusals import Refusal
from tests.support.fake_engine import WEIGHTS_FILES, FakeEngine


class ObjectStore:
    """Parcels by ticket, and how often each was fetched."""

    def __init__(self) -> None:
        self.parcels: dict[str, bytes] = {}
        self.fetched: list[str] = []

    def put(self, parcel: Parcel) -> str:
        ticket = f"ticket {len(self.parcels)}"
        self.parcels[ticket] = pickle.dumps(parcel)
        return ticket

    def get(self, ticket: str) -> Parcel:
        self.fetched.append(ticket)
        return pickle.loads(self.parcels[ticket])


class ThreadWorker:
    """A `WorkerHandle`."""

    def __init__(self, name: str, router: Router, store: ObjectStore, engine: FakeEngine) -> None:
        self.name = name
        self.engine = engine
        self.asked: list[str] = []
        self.on_ask: Callable[[], None] = lambda: None
        self.worker = Worker(lambda: engine, store.get)
        self._router = router
        self._threads = ThreadPoolExecutor(16)
        self._dead = threading.Event()
        router.join(self, self.worker.about())

    def kill(self) -> None:
        """As `kill -9`: calls fail, and no one is told but by that."""
        self._dead.set()

    def ask(self, method: str, *arguments: Any, given_up: threading.Event) -> Any:
        self.asked.append(method)
        self.on_ask()
        call = uuid.uuid4().hex
        job = self._threads.submit(self.worker.call, call, method, *pickle.loads(pickle.dumps(arguments)))
        while True:
            if self._dead.is_set():
                self.worker.give_up(call)
                raise WorkerGone("it was killed")
            if given_up.is_set():
                self.worker.give_up(call)
            try:
                answer = pickle.loads(pickle.dumps(job.result(0.01)))
            except NotYet:
                continue
            if isinstance(answer, Refusal):
                raise answer
            return answer

    def tell(self, method: str) -> None:
        getattr(self.worker, method)()

    def leave(self) -> None:
        self._router.leave(self, "it was dismissed")
        self._threads.shutdown()


class ThreadCluster:
    """A cluster of workers with fake engines, and the engine on it.

    Args:
        workers: how many.
    """

    def __init__(self, workers: int = 3) -> None:
        self.router = Router()
        self.store = ObjectStore()
        self.workers: list[ThreadWorker] = []
        for _ in range(workers):
            self.add()
        self.engine = ClusterEngine(WEIGHTS_FILES, self.router, self.store.put, self.close)

    def add(self) -> ThreadWorker:
        worker = ThreadWorker(f"worker {len(self.workers)}", self.router, self.store, FakeEngine())
        self.workers.append(worker)
        return worker

    def close(self) -> None:
        for worker in self.workers:
            worker.leave()
