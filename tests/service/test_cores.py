"""How many threads are right: as many as cores that no one else uses, decided slowly."""

from __future__ import annotations

import subprocess
import sys
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from helpers.service.local import cores
from helpers.service.local.cores import BUSY_SECONDS, QUIET_SECONDS, SAMPLE_SECONDS, Cores
from tests.support.waiting import wait_until


class Machine:
    """A machine whose use is set by hand; each `run` passes time."""

    def __init__(self, cores_: int) -> None:
        self.now, self.used, self.own = 1e9, 0.0, 0.0
        self.subject = Cores(lambda: (self.used, self.own), cores_, watch=False)

    def run(self, seconds: float, others: float, own: float = 0.0) -> int:
        for _ in range(round(seconds / SAMPLE_SECONDS)):
            self.now += SAMPLE_SECONDS
            self.used += SAMPLE_SECONDS * (others + own)
            self.own += SAMPLE_SECONDS * own
            self.subject.look(self.now)
        return self.subject.threads


@pytest.mark.parametrize(
    ("cores_", "others", "threads"),
    [
        (1, 0.0, 1),
        (1, 1.0, 1),
        (2, 0.2, 2),
        (2, 0.67, 1),
        (2, 2.0, 1),
        (4, 1.0, 3),
        (4, 2.2, 2),
        (8, 1.0, 7),
        (8, 9, 1),
        (32, 10, 8),
    ],
)
def test_threads_are_the_cores_that_others_leave_and_never_none(cores_, others, threads):
    assert Machine(cores_).run(10, others) == threads


def test_what_the_service_itself_uses_takes_no_thread_away():
    assert Machine(2).run(10, others=0.0, own=2.0) == 2


def test_a_burst_takes_no_thread_away():
    machine = Machine(2)
    machine.run(5, 0.0)
    assert machine.run(SAMPLE_SECONDS, 1.0) == 2
    assert machine.run(BUSY_SECONDS, 0.0) == 2


def test_a_thread_is_taken_soon_and_given_back_late():
    machine = Machine(2)
    machine.run(5, 0.0)
    assert machine.run(BUSY_SECONDS, 1.0) == 1
    assert machine.run(QUIET_SECONDS - 1, 0.0) == 1
    assert machine.run(QUIET_SECONDS, 0.0) == 2


def test_a_load_near_the_border_does_not_make_it_flap():
    machine = Machine(2)
    machine.run(5, 0.0)
    seen = [machine.run(1, others) for _ in range(20) for others in (0.3, 0.4)]
    assert sum(a != b for a, b in zip(seen, seen[1:], strict=False)) <= 1


def test_a_child_that_ends_with_its_time_is_no_sign_of_others():
    machine = Machine(2)
    machine.run(5, 0.0, own=2.0)
    machine.own -= 8.0
    assert machine.run(2, 0.0) == 2
    assert machine.subject.others == 0.0


def test_a_real_neighbour_is_seen_and_our_own_work_is_not():
    subject = Cores(cores=2)
    try:
        neighbour = subprocess.Popen([sys.executable, "-c", "while True: pass"])
        try:
            wait_until(lambda: subject.others > 0.5, 20)
        finally:
            neighbour.kill()
            neighbour.wait()
        assert psutil.Process().cpu_times().user > 0
        used, own = cores.Usage()()
        next(number for number in count() if cores.Usage()()[1] > own + 0.2)  # we are busy ourselves
        later, own_later = cores.Usage()()
        assert later - used == pytest.approx(own_later - own, abs=3.0)
    finally:
        subject.close()


@pytest.mark.parametrize(
    ("line", "files", "granted"),
    [
        ("0::/box/inner", {"box/inner/cpu.max": "max 100000", "box/cpu.max": "150000 100000"}, [1.5]),
        ("0::/", {"cpu.max": "400000 100000"}, [4.0]),
        ("4:cpu,cpuacct:/box", {"cpu,cpuacct/box/cpu.cfs_quota_us": "200000"}, [2.0]),
        ("4:cpu,cpuacct:/box", {"cpu,cpuacct/box/cpu.cfs_quota_us": "-1"}, []),
        ("9:memory:/box", {"memory/box/cpu.cfs_quota_us": "200000"}, []),
    ],
)
def test_a_containers_limit_counts_as_the_number_of_cores(tmp_path, monkeypatch, line, files, granted):
    in_a_container(line, files, tmp_path, monkeypatch)
    assert list(cores._granted()) == granted
    assert cores.limit() <= max(1, *map(int, granted), 0) if granted else cores.limit() >= 1


@pytest.mark.parametrize(
    ("line", "files", "free"),
    [
        ("0::/box/inner", {"box/inner/memory.max": "max", "box/memory.max": "1000"}, 1000),
        ("9:memory:/box", {"memory/box/memory.limit_in_bytes": "2000"}, 2000),
        ("0::/box", {"box/memory.max": "9223372036854771712"}, 5000),
        ("4:cpu,cpuacct:/box", {"cpu,cpuacct/box/memory.max": "1000"}, 5000),
    ],
)
def test_a_containers_limit_of_memory_counts_where_less_is_free_in_it(tmp_path, monkeypatch, line, files, free):
    in_a_container(line, files, tmp_path, monkeypatch)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=5000))
    assert cores.free_memory() == free


def in_a_container(line: str, files: dict[str, str], folder: Path, monkeypatch) -> None:
    """Lets the system say that this process is in control groups of which there are these files."""
    (folder / "own").write_text(f"{line}\n")
    for name, text in files.items():
        path = folder / "groups" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        if name.endswith("quota_us"):
            path.with_name("cpu.cfs_period_us").write_text("100000")
    monkeypatch.setattr(cores, "CGROUPS", folder / "groups")
    monkeypatch.setattr(cores, "OWN_CGROUPS", folder / "own")
