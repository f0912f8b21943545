"""Ray, and only here: joins a cluster, keeps a worker on each of its nodes, and carries calls to them.

`server.py` calls `engine_on_ray`, and only if the service was asked for it. What is here runs in the service's process,
which is Ray's driver and must be on one of the cluster's nodes; `worker.Worker` is the actor. A thread looks after the
workers once a second, another one after the cluster's head, without which Ray would end this process in a minute.

The cluster never learns the service's token: workers are started without the variables that may hold it, and
`__main__.py` takes none from the command line, which Ray keeps of each driver and shows.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import socket
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from ...environment import LOCAL_RAY, LOCAL_TOKEN_VARIABLE, TOKEN_VARIABLE, VERSION
from .. import logs
from ..engine import Engine
from ..local.model_files import Weights
from ..refusals import CallerGone, Failed, Refusal, TookTooLong
from .engine import ClusterEngine
from .routing import LOOK_SECONDS, About, Router, WorkerGone
from .worker import Worker

OBJECT_STORE_BYTES = 400_000_000  # of such a cluster; what does not fit goes to disk
CALLS_AT_ONCE = 64  # threads of a worker; how many calls it is given at once is decided by its engine's places
CONTROL = "control"  # threads of a worker that are never kept busy by calls
WATCH_SECONDS = 1.0
FIRST_SECONDS = 900  # until the first worker is ready: each may have to download the model
SILENT_SECONDS = 60  # a worker that says nothing for so long hangs, and is replaced
MOST_AGAIN_SECONDS = 60  # until a worker that ended is started again: 1, and twice as long each time it never got ready
HEAD_SECONDS = 10  # without the cluster's head, and the service ends
LEAVE_SECONDS = 5
CANCEL_SECONDS = 30  # a call that was given up ends with its next token or step; later nobody waits for that
CALL_SECONDS = 2400  # more than each limit that a worker has for itself
FETCH_SECONDS = 60  # for a result that is there to reach this machine
THREADS_OF_RAY = "OMP_NUM_THREADS"  # Ray sets it to 1 where no one else has; the engine knows better (`Cores`)


class Actor(Worker):
    """A worker in a process that Ray has started. Its log goes to stderr, which Ray keeps among the logs of its session
    on that machine.

    Args:
        make_engine: as for `Worker`.
    """

    def __init__(self, make_engine: Callable[[], Engine]) -> None:
        logs.configure(None)
        os.environ.pop(THREADS_OF_RAY, None)
        super().__init__(make_engine, ray.get)


def engine_on_ray(
    address: str,
    local_workers: int,
    weights: Weights,
    make_engine: Callable[[], Engine],
    progress: Callable[[str, float], None],
) -> ClusterEngine:
    """Joins a cluster and returns when its first worker is ready.

    Args:
        address: of the cluster's head, as for `ray start`; LOCAL_RAY starts one on this machine.
        local_workers: how many there are on such a one.
        weights: the model on this machine; workers with another are not used.
        make_engine: makes the engine of a worker, on its machine; it is pickled, and so a function that is there too.
        progress: told what is waited for.

    Raises:
        Failed: there is no such cluster, or no worker got ready in time; the message says why and what to do.
    """
    cluster = _Cluster(Router(), _Crew(address, local_workers, weights, make_engine))
    try:
        cluster.start(progress)
    except BaseException:
        cluster.router.broken = cluster.router.broken or "It did not start."
        cluster.close()
        raise
    return ClusterEngine(weights, cluster.router, ray.put, cluster.close)


def _join(address: str, local_workers: int) -> None:
    here = {"num_cpus": local_workers, "object_store_memory": OBJECT_STORE_BYTES, "include_dashboard": False}
    logging.getLogger("ray").setLevel(logging.ERROR)
    with _without_tokens():
        try:
            if address != LOCAL_RAY:
                _try(address)
            ray.init(
                address,
                namespace=f"gradient-{uuid.uuid4().hex}",
                log_to_driver=False,  # our stdout says where the service is, and nothing else
                configure_logging=False,
                **(here if address == LOCAL_RAY else {}),
            )
        except Exception as error:  # noqa: BLE001 - Ray has many for one thing
            reason = str(error).strip().partition("\n")[0]
            raise Failed(
                f"It can't join the Ray cluster at {address} ({type(error).__name__}: {reason}): `ray start` has to "
                "have run on this machine too, with the head's address, and where the cluster has a token, "
                "RAY_AUTH_MODE has to be token here as well; or take --ray local."
            ) from None


def _try(address: str, seconds: float = HEAD_SECONDS) -> None:
    """Connects to a head, once, and closes the connection: Ray would try for half a minute, and say so each second.

    Raises:
        OSError: nothing answers there. Of an address that is no host and port, only Ray knows what it means.
    """
    host, _, port = address.rpartition(":")
    if host and "/" not in host and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), timeout=seconds).close()


@contextlib.contextmanager
def _without_tokens() -> Iterator[None]:
    """What is started meanwhile inherits none of our tokens."""
    kept = {name: os.environ.pop(name) for name in (LOCAL_TOKEN_VARIABLE, TOKEN_VARIABLE) if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(kept)


@dataclass(frozen=True)
class _Crew:
    """Where there should be workers, and how one is made.

    Attributes: as for `engine_on_ray`.
    """

    address: str
    local_workers: int
    weights: Weights
    make_engine: Callable[[], Engine]

    def wanted(self) -> dict[str, str]:
        """Names of the workers that there should be, and each one's node: one on each that has a processor to give."""
        nodes = [node for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU")]
        each = self.local_workers if self.address == LOCAL_RAY else 1
        return {f"{node['NodeID'][:12]}-{number}": node["NodeID"] for node in nodes for number in range(each)}

    def hire(self, node: str) -> Any:
        """An actor on a node; it ends with this process."""
        options: dict[str, Any] = {
            "num_cpus": 1,
            "max_concurrency": CALLS_AT_ONCE,
            "concurrency_groups": {CONTROL: 4},
            "scheduling_strategy": NodeAffinitySchedulingStrategy(node, soft=False),
        }
        return ray.remote(**options)(Actor).remote(self.make_engine)

    def flaw_of(self, about: About) -> str | None:
        """Why a worker can't be used, for people."""
        if about.version != VERSION:
            return f"{about.host} has version {about.version} of this kit and the service {VERSION}: install the same"
        if about.weights != self.weights.identity:
            return f"{about.host} runs {about.weights} and the service {self.weights.identity}"
        return None


class _RayWorker:
    """A worker, from its start to its end; `WorkerHandle` is what the engine sees of it.

    Args:
        name: its own.
        actor: it.
        router: says whether the cluster is broken.
    """

    def __init__(self, name: str, actor: Any, router: Router) -> None:
        self.name = name
        self._actor = actor
        self._router = router
        self._ended = threading.Event()
        self._asked = time.monotonic()
        self._answer = self._control("about")

    def _control(self, method: str, *arguments: Any) -> Any:
        return getattr(self._actor, method).options(concurrency_group=CONTROL).remote(*arguments)

    def news(self) -> About | None:
        """What it says of itself, or None if it has not answered yet; a new answer is asked for.

        Raises:
            WorkerGone: it has ended.
        """
        if not ray.wait([self._answer], timeout=0)[0]:
            return None
        try:
            about: About = ray.get(self._answer, timeout=LOOK_SECONDS)
        except RayError as error:
            raise WorkerGone(_reason(error)) from None
        self._asked = time.monotonic()
        self._answer = self._control("about")
        return about

    @property
    def silent_seconds(self) -> float:
        """How long it has owed an answer."""
        return time.monotonic() - self._asked

    def ask(self, method: str, *arguments: Any, given_up: threading.Event) -> Any:
        call = uuid.uuid4().hex
        try:
            answer = self._awaited(self._actor.call.remote(call, method, *arguments), call, given_up)
        except RayError as error:
            raise WorkerGone(_reason(error)) from None
        if isinstance(answer, Refusal):
            raise answer
        return answer

    def _awaited(self, answer: Any, call: str, given_up: threading.Event) -> Any:
        deadline = time.monotonic() + CALL_SECONDS
        told = False
        while not ray.wait([answer], timeout=LOOK_SECONDS)[0]:
            if self._ended.is_set() or self._router.broken:
                raise WorkerGone("it was ended")
            if given_up.is_set() and not told:
                told, deadline = True, time.monotonic() + CANCEL_SECONDS
                self._control("give_up", call)
            if time.monotonic() > deadline:
                raise CallerGone if told else TookTooLong(f"The call took longer than {CALL_SECONDS} seconds.")
        return ray.get(answer, timeout=FETCH_SECONDS)

    def tell(self, method: str) -> None:
        with contextlib.suppress(RayError):
            self._control(method)

    def end(self) -> None:
        """Ends its process; calls that it is working on are told."""
        self._ended.set()
        with contextlib.suppress(RayError):
            ray.kill(self._actor)


def _reason(error: Exception) -> str:
    """What Ray says in a line; where a worker could not be made, the last of its traceback, which says why."""
    lines = str(error).strip().splitlines() or ["no reason given"]
    return f"{type(error).__name__}: {lines[-1 if 'creation task' in lines[0] else 0].strip()}"


class _Cluster:
    """Joins a cluster, and looks after its workers and its head until it leaves.

    One thread joins, looks after the workers and leaves: Linux ends what Ray starts together with the thread that
    started it (prctl(2), PR_SET_PDEATHSIG).

    Args:
        router: told of those who come and go.
        crew: says who should be there.
    """

    def __init__(self, router: Router, crew: _Crew) -> None:
        self.router = router
        self._crew = crew
        self._workers: dict[str, _RayWorker] = {}
        self._failures: Counter[str] = Counter()  # by name: how often a worker has ended since it was last ready
        self._not_before: dict[str, float] = {}  # by name: when it is started again
        self._joined: Future[None] = Future()
        self._closed = threading.Event()
        self._staying = threading.Thread(target=self._stay, daemon=True, name="cluster")

    def start(self, progress: Callable[[str, float], None]) -> None:
        """Joins, starts the workers, and returns when the first is ready.

        Raises:
            Failed: it can't join; none is ready in time.
        """
        progress("Joining the Ray cluster", 0.0)
        deadline = time.monotonic() + FIRST_SECONDS
        self._staying.start()
        self._joined.result(FIRST_SECONDS)
        threading.Thread(target=self._watch_head, daemon=True, name="head").start()
        while not self.router.workers:
            progress(f"Waiting for the first worker ({self.router.why_none})", 0.0)
            if self.router.broken or time.monotonic() > deadline:
                raise Failed(self.router.broken or f"No worker of the Ray cluster got ready: {self.router.why_none}.")
            time.sleep(LOOK_SECONDS)

    def close(self) -> None:
        """Leaves the cluster, and ends it if it was started here. Ray is given LEAVE_SECONDS for it: where nodes have
        died, or the head, it can take longer, and at Python's end it would begin again."""
        code = 1 if self.router.broken else 0
        self.router.broken = self.router.broken or "The service is ending: start it again."  # calls end soon
        self._closed.set()
        self._staying.join(LEAVE_SECONDS)
        if self._staying.is_alive():
            logs.event("left-in-haste", logging.WARNING)
            atexit.register(os._exit, code)  # the last to be registered is the first to be called, before Ray's own

    def _stay(self) -> None:
        try:
            _join(self._crew.address, self._crew.local_workers)
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            self._joined.set_exception(error)
            return
        self._joined.set_result(None)
        while not self._closed.wait(WATCH_SECONDS):
            try:
                self._look()
            except Exception as error:  # noqa: BLE001 - the head may be gone; the other thread finds out
                logs.event("watch-failed", logging.WARNING, error)
        ray.shutdown()

    def _look(self) -> None:
        wanted = self._crew.wanted()
        for name in set(self._workers) - set(wanted):
            self._dismiss(name, "its node has left the cluster")
        for name, node in wanted.items():
            if name in self._workers:
                self._follow(name)
            elif time.monotonic() > self._not_before.get(name, 0.0):
                self._workers[name] = _RayWorker(name, self._crew.hire(node), self.router)

    def _follow(self, name: str) -> None:
        """Takes a worker in once it is ready, and lets one go that has ended or hangs."""
        worker = self._workers[name]
        is_in = worker in self.router.workers
        try:
            about = worker.news()
        except WorkerGone as gone:
            self._dismiss(name, str(gone))
            return
        if about is None:
            if worker.silent_seconds > (SILENT_SECONDS if is_in else FIRST_SECONDS):
                self._dismiss(name, "it did not answer")
        elif flaw := self._crew.flaw_of(about):
            self._dismiss(name, flaw)
        else:
            self._failures.pop(name, None)
            if self.router.join(worker, about):
                logs.event("worker", worker=name, host=about.host, process=about.process)

    def _dismiss(self, name: str, reason: str) -> None:
        worker = self._workers.pop(name)
        self._not_before[name] = time.monotonic() + min(2 ** self._failures[name], MOST_AGAIN_SECONDS)
        self._failures[name] += 1
        self.router.leave(worker, reason)
        worker.end()
        logs.event("worker-ended", logging.WARNING, worker=name, reason=reason)

    def _watch_head(self) -> None:
        address = ray.get_runtime_context().gcs_address
        heard = time.monotonic()
        while not self._closed.wait(WATCH_SECONDS):
            with contextlib.suppress(OSError):
                _try(address, 3)
                heard = time.monotonic()
            if time.monotonic() - heard > HEAD_SECONDS:
                self.router.broken = (
                    f"The head of the Ray cluster ({address}) is gone, and the service with it: start the cluster "
                    "(`ray start`), then the service again; all adapters are kept."
                )
                return
