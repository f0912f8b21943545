"""The service and the peers as processes: started with a limit, suspended while another is measured, ended for sure.

Every benchmark goes through this module. llama.cpp's and torch's threads wait by spinning, so two engines that are
alive at once slow each other down; `alternate` therefore suspends all but the one that is measured.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from time import perf_counter, sleep
from typing import TYPE_CHECKING, Any

import psutil

from helpers.environment import LARGE_PAGES
from helpers.sdk import client
from helpers.service.local.cores import QUIET_SECONDS, limit
from helpers.service.local.model_files import Weights
from tests.peers import environment
from tests.support import process_tree

if TYPE_CHECKING:
    from gradientai import BaseModel, Gradient, ModelAdapter

ROOT = Path(__file__).parents[2]
PEERS = Path(__file__).parent / "peers"
TOKEN = "a-token-for-the-bench"
ADJUSTED = "tests.bench.adjusted_service"
STEP_SECONDS = 120  # the longest that one process may take for one thing
END_SECONDS = 20
SETTLE_SECONDS = 0.1  # for one that was suspended to close the connections that were idle for too long meanwhile
FORGET_SECONDS = QUIET_SECONDS + 1.5  # until a service takes a peer that was just measured for a neighbour no more


@dataclass(frozen=True)
class Bench:
    """What a benchmark is given.

    Attributes:
        quick: few repetitions, to see that it works.
        folder: an empty folder for whatever it writes.
        weights: the model, for the service and for the peers alike.
        peers: the interpreter that peers run in; None for a benchmark that has none.
    """

    quick: bool
    folder: Path
    weights: Weights
    peers: str | None

    def times(self, full: int, quick: int = 1) -> int:
        """How many repetitions."""
        return quick if self.quick else full

    def service(self, name: str, *options: str, **settings: str) -> Service:
        """Starts a service on the data folder of this name; see `Service`."""
        return Service(self.folder / name, *options, **settings)

    def llama(self, adapter: Path | None = None) -> Peer:
        """Bare llama.cpp with the same weights and thread count, and one adapter or none."""
        return self.peer("bare_llama.py", self.weights.gguf, limit(), *([adapter] if adapter else []))

    def peer(self, script: str, *arguments: object) -> Peer:
        """Starts a peer that keeps a model; see `Peer`."""
        return Peer(self._interpreter(), script, *arguments)

    def run_script(self, script: str, *arguments: object) -> tuple[float, str]:
        """Runs a peer that is a whole program.

        Returns:
            Seconds from the start of its process to the end, and what it printed.
        """
        interpreter = self._interpreter()
        began = perf_counter()
        printed = environment.run(PEERS / script, *arguments, seconds=STEP_SECONDS, interpreter=interpreter)
        return perf_counter() - began, printed

    def _interpreter(self) -> str:
        if self.peers is None:
            raise RuntimeError("this benchmark has peers, and runner.BENCHMARKS does not say so")
        return self.peers


class _Process:
    """A process of ours that has to end."""

    process: subprocess.Popen

    def tree(self) -> list[psutil.Process]:
        """It and all that it started."""
        return process_tree.tree(self.process.pid)

    def __enter__(self):
        return self

    def __exit__(self, *_: object) -> None:
        family = self.tree()
        self.process.terminate()
        try:
            self.process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
        process_tree.kill(family)
        self.process.wait(END_SECONDS)

    def _line(self, seconds: float) -> str:
        """The next line that it prints; a process that says nothing for so long is killed."""
        limit = threading.Timer(seconds, self.process.kill)
        limit.start()
        try:
            return self.process.stdout.readline()
        finally:
            limit.cancel()


class Service(_Process):
    """`python -m helpers.service` as `connect()` starts it, once it is ready.

    Args:
        data: its data folder.
        options: more of the command's options.
        module: what is run instead: one of this folder's own, which say what `settings` they know.
        settings: for its environment.

    Attributes:
        ready_seconds: from the start of its process to the line that says it is ready.
    """

    def __init__(self, data: Path, *options: str, module: str = "helpers.service", **settings: str) -> None:
        data.mkdir(parents=True, exist_ok=True)
        self.data = data
        command = [sys.executable, "-m", module, "--data-dir", str(data), "--token", TOKEN, "--quiet", *options]
        environment = {**LARGE_PAGES, **os.environ, **settings, "PYTHONPATH": str(ROOT)}
        errors = data.parent / f"{data.name}.err"
        with errors.open("w") as sink:
            began = perf_counter()
            self.process = subprocess.Popen(
                command, cwd=data, env=environment, stdout=subprocess.PIPE, stderr=sink, text=True
            )
        line = self._line(STEP_SECONDS)
        self.ready_seconds = perf_counter() - began
        if " at " not in line:
            self.__exit__()
            raise RuntimeError(f"the service did not start: {errors.read_text()[-2000:]}")
        self.url = line.split(" at ")[1].strip()

    def gradient(self, workspace: str = "bench") -> Gradient:
        """The client that a notebook gets."""
        return client(self.url, TOKEN, workspace)

    def base(self, workspace: str = "bench") -> BaseModel:
        """The last of the base models, a classic one."""
        return self.gradient(workspace).get_base_model(base_model_slug="nous-hermes2")

    def folder_of(self, adapter: ModelAdapter) -> Path:
        """The folder that an adapter's last fine-tune wrote."""
        return max((self.data / "adapters" / adapter.id).glob("v*"), key=lambda path: int(path.name[1:]))

    def steps(self) -> list[int]:
        """The steps of each fine-tune so far, from its log."""
        log = (self.data / "service.log").read_text(encoding="utf-8")
        return [int(steps) for steps in re.findall(r" event=tuned .*? steps=(\d+)", log)]

    def megabytes(self) -> float:
        """Resident memory of the service and its tuner together; pages that they share count twice."""
        return megabytes(self.process.pid)

    def parts_of_memory(self) -> str:
        """Resident memory by process, and what of it is no other process's and no file's, for a row's note."""
        parts = []
        for process in self.tree():
            with contextlib.suppress(psutil.Error):
                parts.append(f"{_resident(process) / 1e6:.0f} ({process.memory_full_info().uss / 1e6:.0f} its own)")
        return "by process, MB: " + ", ".join(parts)


class Peer(_Process):
    """A peer that loads a model once and then answers requests, one JSON object a line.

    It runs without our code: a script of `peers/`, without PYTHONPATH, in the interpreter given. A library that the
    service has too must have the same version in both.

    Args:
        python: interpreter.
        script: file name in `peers/`.
        arguments: of the script.
    """

    def __init__(self, python: str, script: str, *arguments: object) -> None:
        self._script = script
        command = [python, str(PEERS / script), *map(str, arguments)]
        self.process = subprocess.Popen(
            command,
            env=environment.variables(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        for name, found in self._answer().items():
            if found != _installed(name, found):
                self.__exit__()
                raise RuntimeError(f"the peer has {name} {found} and the service {version(name)}: not to be compared")

    def ask(self, *prompts: str, tokens: int) -> dict[str, Any]:
        """Has a peer that answers complete the prompts, all at once.

        Returns:
            `seconds`, measured inside the peer around the library's own call, and `answers`: `text`, `tokens` (how many
            were generated) and `prompt_tokens` of each.
        """
        return self.call(prompts=prompts, tokens=tokens)

    def call(self, **request: object) -> dict[str, Any]:
        """What the peer's script makes of a request; see there."""
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        line = self._line(STEP_SECONDS)
        if not line:
            self.__exit__()
            raise RuntimeError(f"the peer {self._script} ended; run it by hand to see why")
        return json.loads(line)


def alternate(times: int, *sides: tuple[_Process | None, Callable[[int], float]]) -> list[list[float]]:
    """Measures the sides in turn (a, b, a, b, …), each with the others' processes suspended, after one warm-up each.

    Args:
        times: how many figures of each.
        sides: the process that a side needs (None if it starts its own) and a function that makes one figure, given
            the number of the repetition, so that both sides of a pair can do the same; -1 is the warm-up.

    Returns:
        A list of figures per side.
    """
    figures: list[list[float]] = [[] for _ in sides]
    owners = [owner for owner, _ in sides if owner is not None]
    before: object = None
    for index in range(-1, times):
        for (owner, measure), found in zip(sides, figures, strict=True):
            with suspended([other for other in owners if other is not owner]):
                sleep(FORGET_SECONDS if isinstance(owner, Service) and before is not owner else SETTLE_SECONDS)
                figure = measure(index)
            before = owner
            if index >= 0:
                found.append(figure)
    return figures


@contextlib.contextmanager
def suspended(owners: Sequence[_Process]) -> Iterator[None]:
    """Stops processes, with all that they started, for the length of the block."""
    stopped = [process for owner in owners for process in owner.tree()]
    for process in stopped:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.suspend()
    try:
        yield
    finally:
        for process in stopped:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.resume()


def megabytes(pid: int) -> float:
    """Resident memory of a process and all that it started; pages that they share count for each."""
    return sum(map(_resident, process_tree.tree(pid))) / 1e6


def _resident(process: psutil.Process) -> int:
    try:
        return process.memory_info().rss
    except psutil.NoSuchProcess:
        return 0


def _installed(name: str, otherwise: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return otherwise
