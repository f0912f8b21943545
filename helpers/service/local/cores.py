"""How many threads the engine may use right now: as many as there are cores that no other program is using.

llama.cpp's threads, and those of a matrix product, meet hundreds of times a token or a step. When one of them has lost
its core to another program, the others wait for it by spinning, use up their own share of the machine with that, and
lose their cores too. So as many threads as cores is right on a quiet machine and ruinous on any other: on two cores
beside one busy process bare llama.cpp took 3 to 30 times as long with two threads, and 1.2 to 1.7 times with one.

`Cores` watches what other programs use and says how many cores are free, and so how many threads are right; it changes
its mind slowly, so that a short burst does not matter. `server.py` makes one; the decoder asks it when it makes a
generation, the tuners before each step, and the engine to know how many of them may be at work.
"""

from __future__ import annotations

import contextlib
import ctypes
import math
import multiprocessing
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import psutil

from ...environment import MAX_THREADS, TOLERATED_CORES

SAMPLE_SECONDS = 0.25
BUSY_SECONDS = 1.0  # other programs have to be at work for so long before a thread is taken away,
QUIET_SECONDS = 3.0  # and to leave room for so long before one is added: two that share a machine would take turns
SPARE = 0.2  # the part of a core, less than TOLERATED_CORES, that they may use of one that counts as free again

CGROUPS = Path("/sys/fs/cgroup")
OWN_CGROUPS = Path("/proc/self/cgroup")


def limit() -> int:
    """How many cores this process may use, at least 1: those it is bound to, or fewer where a container grants fewer.

    os.cpu_count() knows neither: a container with half of a large server's cores would start twice its threads.
    """
    return max(1, min([len(_bound_to()), *(int(cores) for cores in _granted())]))


def _bound_to() -> set[int]:
    """The numbers of the cores that this process may run on."""
    with contextlib.suppress(AttributeError, OSError, psutil.Error):  # macOS has no such call
        return set(psutil.Process().cpu_affinity()) or {0}
    return set(range(os.cpu_count() or 1))


def free_memory() -> int:
    """How many bytes new processes may take: what is free, or less where a container grants less."""
    return min([psutil.virtual_memory().available, *map(int, _granted_memory())])


def _granted() -> Iterable[float]:
    """The cores that each control group around this process grants, where one sets a limit (Linux)."""
    for group in _groups("cpu"):
        yield from _grant_of(group)


def _granted_memory() -> Iterable[int]:
    """The same for bytes of memory; what is in use of them is not known, as files that were read count too."""
    for group in _groups("memory"):
        for name in ("memory.max", "memory.limit_in_bytes"):
            with contextlib.suppress(OSError, ValueError):  # no such file, or "max": no limit
                yield int((group / name).read_text(encoding="ascii"))


def _groups(controller: str) -> Iterable[Path]:
    """The folders of the control groups around this process that can limit something (Linux)."""
    with contextlib.suppress(OSError, ValueError):
        for line in OWN_CGROUPS.read_text(encoding="utf-8").splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers and controller not in controllers.split(","):
                continue
            root = CGROUPS / controllers if controllers else CGROUPS
            own = root / path.lstrip("/")
            yield from (group for group in (own, *own.parents) if group.is_relative_to(root))


def _grant_of(group: Path) -> Iterable[float]:
    with contextlib.suppress(OSError, ValueError):  # no such file, or "max": no limit
        quota, period = (group / "cpu.max").read_text(encoding="ascii").split()
        yield int(quota) / int(period)
    with contextlib.suppress(OSError, ValueError):
        older = int((group / "cpu.cfs_quota_us").read_text(encoding="ascii"))
        if older > 0:  # -1: no limit
            yield older / int((group / "cpu.cfs_period_us").read_text(encoding="ascii"))


class Usage:
    """Processor time so far, in seconds: of everything on this process's cores, and of this service alone."""

    def __init__(self) -> None:
        self._cores = _bound_to()
        self._own = psutil.Process()

    def __call__(self) -> tuple[float, float]:
        """All use and our own."""
        every = psutil.cpu_times(percpu=True)
        used = sum(_busy(times) for number, times in enumerate(every) if number in self._cores)
        own = [self._own, *_children()]
        return used, sum(map(_used_by, own))


def _busy(times: Any) -> float:
    """What is not idle of a core's time. What the host takes for other machines (steal) is use by others, like theirs;
    a guest's time is counted in user and nice already."""
    fields = times._asdict()
    return sum(value for name, value in fields.items() if name not in ("idle", "iowait", "guest", "guest_nice"))


def _children() -> list[psutil.Process]:
    """The processes that this one has started, such as the tuner's."""
    found = []
    for child in multiprocessing.active_children():
        with contextlib.suppress(psutil.Error):
            found.append(psutil.Process(child.pid))
    return found


def _used_by(process: psutil.Process) -> float:
    with contextlib.suppress(psutil.Error):
        times = process.cpu_times()
        return times.user + times.system
    return 0.0


class Cores:
    """Says how many cores are free. Methods and attributes may be used on any thread.

    Args:
        usage: processor time so far, of all and of us; see `Usage`.
        cores: how many cores there are for us.
        watch: look every SAMPLE_SECONDS in a thread; else `look` has to be called.

    Attributes:
        limit: cores that there are for us.
        others: how many cores other programs have used in the last BUSY_SECONDS.
        free: how many of ours they leave, 1 to `limit`, as a value that other processes can read, for the tuners.
    """

    def __init__(
        self, usage: Callable[[], tuple[float, float]] | None = None, cores: int | None = None, watch: bool = True
    ) -> None:
        self.limit = cores or limit()
        self.others = 0.0
        self.free: ctypes.c_int = multiprocessing.get_context("spawn").RawValue("i", self.limit)
        self._usage = usage or Usage()
        self._last = (time.monotonic(), *self._usage())
        self._seen: deque[tuple[float, float]] = deque()  # when, and how many cores others used until then
        self._closed = threading.Event()
        if watch:
            threading.Thread(target=self._watch, daemon=True, name="cores").start()

    @property
    def threads(self) -> int:
        """How many threads the decoder should use, 1 to MAX_THREADS."""
        return min(self.free.value, MAX_THREADS)

    def look(self, now: float | None = None) -> None:
        """Reads what is used, and decides anew.

        Args:
            now: monotonic time in seconds, for tests.
        """
        now = time.monotonic() if now is None else now
        used, own = self._usage()
        before, used_before, own_before = self._last
        if now <= before:
            return
        # A child that has ended takes its time with it, so our own can fall; then nothing can be said.
        others = 0.0 if own < own_before else max(0.0, (used - used_before) - (own - own_before)) / (now - before)
        self._last = (now, used, own)
        self._seen.append((now, others))
        while self._seen[0][0] <= now - QUIET_SECONDS:
            self._seen.popleft()
        self._decide(now)

    def _decide(self, now: float) -> None:
        """Fewer free cores soon, more of them late; in between they stay as they are."""
        lately = [others for when, others in self._seen if when > now - BUSY_SECONDS]
        self.others = sum(lately) / len(lately)
        if len(lately) >= BUSY_SECONDS / SAMPLE_SECONDS / 2:  # after a pause one look is not enough
            self.free.value = min(self.free.value, self._free_beside(self.others, TOLERATED_CORES))
        if now - self._seen[0][0] >= QUIET_SECONDS - 2 * SAMPLE_SECONDS:
            most = max(self._means())
            self.free.value = max(self.free.value, self._free_beside(most, SPARE))

    def _means(self) -> Iterable[float]:
        """What others used in each second of what was seen: a burst shorter than that takes no thread away for long."""
        size = max(1, round(BUSY_SECONDS / SAMPLE_SECONDS))
        values = [others for _, others in self._seen]
        return [sum(values[end - size : end]) / size for end in range(size, len(values) + 1)] or values

    def _free_beside(self, others: float, tolerated: float) -> int:
        return max(1, self.limit - math.ceil(max(0.0, others - tolerated)))

    def close(self) -> None:
        """Ends the watching."""
        self._closed.set()

    def _watch(self) -> None:
        while not self._closed.wait(SAMPLE_SECONDS):
            with contextlib.suppress(psutil.Error, OSError):
                self.look()
