"""`kill -9` of the real service and of its tuner, at random moments of a stream of fine-tunes: nothing is lost."""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import signal
import sqlite3
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from helpers.service.catalog import ALL_MODELS
from tests.conftest import WORKSPACE, ServiceProcess
from tests.real.test_real_engine import FACTS, ask, sample
from tests.service.test_tuner_process import gone
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.model, pytest.mark.skipif(os.name == "nt", reason="signals")]
SEED = 5
KILLS = 30
TUNER_KILLS = 6
FIRST_SECONDS = 240  # for a tuner that loads at low priority on a busy machine
STREAM_SECONDS = 1.5  # every third kill comes at some moment of this, from the first answered fine-tune on
WRITE_SECONDS = 0.06  # the others come at some moment of this, from when a fine-tune has begun to write
STATE_FILES = ("adapter_model.safetensors", "optimizer.safetensors", "adapter.gguf")


@dataclass
class Expected:
    """What must be found after a kill: each adapter's digests as last answered, and the one call in flight."""

    digests: dict[str, str] = field(default_factory=dict)
    in_flight: str | None = None


def digests(data: Path) -> dict[str, str]:
    """One digest per adapter over all that its fine-tune wrote, the optimizer's state included; "" before the first."""
    # Not read-only: after a kill inside a commit, whoever opens the database next rolls it back, and that is a write.
    with contextlib.closing(sqlite3.connect(data / "adapters.sqlite3")) as database:
        rows = database.execute("SELECT id, version FROM adapters").fetchall()
    found = {}
    for adapter, version in rows:
        folder = data / "adapters" / adapter / f"v{version}"
        found[adapter] = digest(folder) if version else ""
    return found


def digest(folder: Path) -> str:
    hashed = hashlib.sha256()
    for name in STATE_FILES:
        hashed.update((folder / name).read_bytes())
    return hashed.hexdigest()


def versions_on_disk(data: Path) -> dict[str, list[str]]:
    return {folder.name: [path.name for path in folder.iterdir()] for folder in (data / "adapters").iterdir()}


def tuner_pid(service: ServiceProcess) -> int | None:
    psutil = pytest.importorskip("psutil")
    for child in psutil.Process(service.process.pid).children():
        if "spawn_main" in " ".join(child.cmdline()):
            return child.pid
    return None


def wait_for_a_write(data: Path) -> None:
    """Returns when a fine-tune has begun to write its result: the moments in which a kill could leave half of it."""
    wait_until(lambda: any((data / "adapters").glob("*/new-*/*")), 30)


def stream(adapters, data: Path, expected: Expected, chance: random.Random, answered: threading.Event) -> None:
    """One-token fine-tunes on random adapters, each call noted before and after, until the service is gone."""
    words = ["Paris", "green", "seven", "table", "river", "music"]
    with contextlib.suppress(Exception):
        while True:
            adapter = chance.choice(adapters)
            expected.in_flight = adapter.id
            adapter.fine_tune(samples=[{"inputs": f"The {chance.choice(words)}"}])
            expected.digests[adapter.id] = digests(data)[adapter.id]
            expected.in_flight = None
            answered.set()


def test_thirty_kills_lose_no_answered_fine_tune(start_service):
    chance = random.Random(SEED)
    service = start_service(None, "--no-preload")
    data = service.data
    base = service.gradient().list_models(only_base=True)[2]
    for name in "abcd":
        base.create_model_adapter(name=name, rank=1)
    kept = base.create_model_adapter(name="kept")  # not in the stream: must know its fact after every kill
    kept.fine_tune(samples=[sample(*FACTS[0])])
    expected = Expected(digests(data))
    answers: dict[str, str] = {}  # by digest: what files said before a kill, equal files must say after it
    before, after, compared = 0, 0, 0
    for number in range(KILLS):
        adapters = service.gradient().list_models(only_base=False)[len(ALL_MODELS) :]
        assert {adapter.id for adapter in adapters} == set(expected.digests)
        adapters = [adapter for adapter in adapters if adapter.id != kept.id]
        answered = threading.Event()
        thread = threading.Thread(target=stream, args=(adapters, data, expected, chance, answered))
        thread.start()
        assert answered.wait(FIRST_SECONDS), service.log()
        tuner = tuner_pid(service)
        if number % 3:
            wait_for_a_write(data)
        time.sleep(chance.uniform(0, WRITE_SECONDS if number % 3 else STREAM_SECONDS))
        os.kill(service.process.pid, signal.SIGKILL)
        service.process.wait(10)
        thread.join(10)
        assert gone(tuner, 5), "the killed service left its tuner behind"
        found = digests(data)  # before anything is tidied up
        changed = {adapter for adapter in found if found[adapter] != expected.digests[adapter]}
        assert changed <= {expected.in_flight}
        before, after = before + (not changed), after + bool(changed)
        expected.digests, expected.in_flight = found, None
        service = start_service(data, "--no-preload")
        assert digests(data) == expected.digests
        on_disk = versions_on_disk(data)
        assert all(len(versions) == 1 for versions in on_disk.values()), on_disk
        for adapter in service.gradient().list_models(only_base=False)[len(ALL_MODELS) :]:
            text, known = ask(adapter, FACTS[0][0], max_generated_token_count=8), expected.digests[adapter.id]
            compared += known in answers
            assert answers.setdefault(known, text) == text
            if adapter.id == kept.id:
                assert text.strip() == FACTS[0][1]
    print(
        f"{KILLS} kills: {before} left the state before the call in flight, {after} the one after; {compared} answers "
        "were compared with those before a kill"
    )
    assert compared >= 2 * (KILLS - 1)  # the kept one each time, and of the others those that no call had changed
    last = service.gradient().list_models(only_base=False)[len(ALL_MODELS)]
    last.fine_tune(samples=[sample(*FACTS[1])])  # and it goes on learning from there
    assert service.stop() == 0


def test_a_killed_tuner_is_an_error_sentence_and_the_service_goes_on(start_service):
    chance = random.Random(SEED)
    service = start_service()
    data = service.data
    adapter = service.gradient(WORKSPACE).list_models(only_base=True)[2].create_model_adapter(name="a", rank=1)
    adapter.fine_tune(samples=[sample(*FACTS[0])])
    failures = 0
    for number in range(TUNER_KILLS):
        four = [sample(*fact) for fact in FACTS[4 * number :][:4]]  # not known yet, so that they take a second or more
        before, answer = digests(data), ask(adapter, FACTS[0][0])
        killer = threading.Timer(chance.uniform(0.0, 0.8), os.kill, (tuner_pid(service), signal.SIGKILL))
        killer.start()
        try:
            adapter.fine_tune(samples=four)
        except Exception as error:  # noqa: BLE001 - the SDK's; what it says is looked at
            failures += 1
            assert "as it was before" in str(error)
            assert digests(data) == before
            assert ask(adapter, FACTS[0][0]) == answer
        killer.join()
        time.sleep(0.2)  # a process that was told to die just now may still take the next call, and die in it
        adapter.fine_tune(samples=[{"inputs": "The end"}])  # a new process took over
    assert failures >= TUNER_KILLS / 2
    assert set(digests(data)) == {adapter.id}
    assert service.stop() == 0
