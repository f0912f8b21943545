"""Kills on a Ray cluster under load: workers and whole nodes, by `kill -9`, while fine-tunes and answers are under way.

    python -m tests.bench.ray_kills --kills 20 --clients 6
    python -m tests.bench.ray_kills --kills 4 --clients 3 --real

A head and three nodes run on this machine. Each client has a workspace and an adapter; it fine-tunes and asks, over and
over. With workers that wait instead of computing (`tests/support/ray_service.py`) an adapter answers with the last
text that it was taught and keeps all of them, so that a call that was lost, half done or done twice would be seen.
With --real the model runs, and the clients are the soak's own. Every other kill is of a worker, the others of a
node, which is replaced by a new one. Prints a table; ends with 1 if an answer was wrong, a call failed or an adapter
is not what was answered.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from helpers.service import launcher
from helpers.service.http import metrics
from tests.bench import soak
from tests.bench.soak import Figures
from tests.conftest import ServiceProcess
from tests.support import ray_nodes
from tests.support.ray_nodes import RayNodes

NODES = 3
SEED = 3
SEEN_SECONDS = 2  # until the service has seen that a worker is gone
READY_SECONDS = 300  # for a worker that is started anew


@dataclass
class Kill:
    """One kill.

    Attributes:
        what: "worker" or "node".
        running: how many requests the service was working on.
        again: how many calls were made again on another worker.
        seconds: until there were as many workers as before.
    """

    what: str
    running: int
    again: int
    seconds: float


class Client(soak.Client):
    """One learner, whose adapter is taught one text after another. A call refused for good is a finding here."""

    def _play(self) -> None:
        adapter = self._gradient.list_models(only_base=True)[-1].create_model_adapter(name="mine")
        taught: list[str] = []
        while not self._is_over():
            taught.append(f"{self.name} text {len(taught)}")
            began = time.monotonic()
            adapter.fine_tune(samples=[{"inputs": taught[-1]}])
            self._took("fine-tune", began)
            for _ in range(3):
                began = time.monotonic()
                said = adapter.complete(query="What is it?").generated_output
                self._took("ask", began)
                if said != taught[-1]:
                    self._note(f"{taught[-1]!r} was answered {said!r}")
            if self._kept(adapter.id) != taught:
                self._note(f"{adapter.id} is not what it was taught")
            self.rounds += 1

    def _kept(self, adapter: str) -> list[str]:
        [version] = (self._service.data / "adapters" / adapter).glob("v*")
        return json.loads((version / "learned.json").read_text(encoding="utf-8"))


def gauges(service: ServiceProcess) -> dict[str, float]:
    """What /metrics says."""
    running = launcher.find(service.data)
    return metrics.read(launcher.metrics_of(running)) if running else {}


def wait_for_workers(service: ServiceProcess, count: int) -> None:
    """Returns when there are so many."""
    began = time.monotonic()
    while gauges(service).get(metrics.WORKERS) != count:
        assert time.monotonic() - began < READY_SECONDS, service.log()[-4000:]
        time.sleep(0.2)


def made_again(service: ServiceProcess) -> int:
    """How many calls were made again so far, as the log has it."""
    return len(re.findall("event=worker-gone", service.log()))


def kill_one(nodes: RayNodes, service: ServiceProcess, what: str, chance: random.Random) -> Kill:
    """Kills a worker that is at work, or a node, and waits until it is replaced."""
    again, running = made_again(service), gauges(service)[metrics.RUNNING]
    node, began = chance.choice([node for node in nodes.nodes if node.workers()]), time.monotonic()
    if what == "worker":
        os.kill(node.workers()[0].pid, signal.SIGKILL)
    else:
        nodes.nodes.remove(node)
        node.kill()
        nodes.nodes.append(nodes.add())
    time.sleep(SEEN_SECONDS)
    wait_for_workers(service, NODES)
    return Kill(what, int(running), made_again(service) - again, time.monotonic() - began)


@contextmanager
def cluster(folder: Path, module: str, *options: str) -> Iterator[tuple[RayNodes, ServiceProcess]]:
    """A cluster of NODES and a service on it, both ended after the block."""
    nodes = RayNodes(NODES)
    try:
        service = ray_nodes.service(folder, "--ray", nodes.address, *options, module=module)
        try:
            wait_for_workers(service, NODES)
            yield nodes, service
            assert service.process.poll() is not None or service.stop() == 0, service.log()[-4000:]
        finally:
            service.process.kill()
    finally:
        nodes.close()


def kills(nodes: RayNodes, service: ServiceProcess, count: int, pause: float) -> list[Kill]:
    """Kills workers and nodes in turn, each at some moment of a pause after the one before was replaced."""
    chance = random.Random(SEED)
    done = []
    for number in range(count):
        time.sleep(chance.uniform(0.3, 1) * pause)
        done.append(kill_one(nodes, service, ("worker", "node")[number % 2], chance))
        print(f"kill {number + 1}: {done[-1]}", file=sys.stderr, flush=True)
    return done


def under_load(folder: Path, count: int, clients: int, real: bool = False) -> tuple[list[Kill], Figures]:
    """Kills while workers wait, or while the real engine answers and tunes."""
    module, client, pause = "tests.support.ray_service", Client, 4.0
    if real:
        module, client, pause = "helpers.service", soak.Client, 15.0
    with cluster(folder, module) as (nodes, service), ThreadPoolExecutor(1) as killer:
        killing = killer.submit(kills, nodes, service, count, pause)
        figures = soak.soak(service, killing.done, clients, client)
        return killing.result(), figures


def table(done: list[Kill]) -> str:
    """The kills for people."""
    lines = [f"{'killed':<8}{'times':>6}{'requests running':>18}{'calls made again':>18}{'seconds to replace':>20}"]
    for what in ("worker", "node"):
        these = [kill for kill in done if kill.what == what]
        if these:
            running = sum(kill.running for kill in these)
            again = sum(kill.again for kill in these)
            seconds = statistics.median(kill.seconds for kill in these)
            lines.append(f"{what:<8}{len(these):>6}{running:>18}{again:>18}{seconds:>20.1f}")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Runs the kills on a cluster of their own; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.ray_kills", description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--clients", type=int, default=6)
    parser.add_argument("--real", action="store_true", help="with the model, and not with workers that wait")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="gradient-kills-", ignore_cleanup_errors=True) as folder:
        data = Path(folder) / "data"
        data.mkdir()
        done, figures = under_load(data, options.kills, options.clients, options.real)
    print(f"{options.clients} clients, {'the model' if options.real else 'workers that wait'}")
    print(f"{table(done)}\n{figures.table()}")
    return 1 if figures.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
