"""Past this machine: more tuners, and more learners, than its cores carry, by an engine that waits, not computes.

Simulated is the engine alone (`waiting_service.py`): it waits as long as the real one took on two cores. HTTP,
scheduler, store and disk are real, and so are the learners' connections (`crowd.py`), which come from a process of
their own on the same cores.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from statistics import median, quantiles

from .figures import Row
from .processes import ROOT, TOKEN, Bench, Service

TUNERS = (2, 4, 8, 16)
LEARNERS = (30, 300, 3000)
CROWD_SECONDS = 400  # the longest that one crowd may take
MOMENT = 0.01  # in which each learner begins one call
PAUSE_SECONDS = 10  # between two calls of a learner, who reads meanwhile
TUNES = 0.1  # of these calls are fine-tunes
PLENTY = {"WAITING_COMPLETIONS": "256", "WAITING_TUNES": "64"}  # an engine that is not what gives first


def tuners(bench: Bench) -> Iterator[Row]:
    """Fine-tunes a second with several tuners that wait, against one: how much of so many times as many.

    The tuners are processes of `TunerPool`; each fine-tune is of an adapter of its own, and twice as many learners
    fine-tune without a pause as there are tuners. The wait is 0.75 s, what one sample takes. The files are a hundredth
    of an adapter's: it is the tuners that are counted, and not the disk, which the last row has as well.
    """
    one = _tunes_a_second(bench, 1, smaller=100)
    for count in TUNERS:
        many = _tunes_a_second(bench, count, smaller=100)
        what = f"{count} tuners that wait, fine-tunes a second, by tuner"
        yield Row(what, [many / count], "a second", [one], "one tuner that waits", at_least=0.9)
    most = TUNERS[-1]
    whole = [_tunes_a_second(bench, count, smaller=1) / count for count in (most, 1)]
    what = f"{most} tuners that wait and write whole adapters, fine-tunes a second, by tuner"
    yield Row(what, whole[:1], "a second", whole[1:], "one that does")


def thirty(bench: Bench) -> Iterator[Row]:
    """Seconds until the last of thirty has its fine-tune who all begin at once, with as many tuners as 2, 4 and 8 cores
    carry, and each as fast as one alone on two cores."""
    for count in (1, 2, 4):
        with _tuners(bench, f"thirty-{count}", count) as service:
            _crowd(service, 2 * count, MOMENT, pause=0, tunes=1)  # starts all of them
            met = _crowd(service, 30, MOMENT, pause=0, tunes=1)["work"]
        yield Row(f"thirty fine-tunes at once, tuners that wait: {count}", [met["seconds"]], "s", note=_note(met))


def learners(bench: Bench) -> Iterator[Row]:
    """Calls a second of 30, 300 and 3,000 learners who read for ten seconds between two calls; then of 300 at an engine
    as small as on two cores.

    Of ten calls one is a fine-tune of one sample. The note has how long they waited and what was refused or failed.
    """
    for count in LEARNERS[: bench.times(3, 1)]:
        yield _row(bench, f"{count:,} learners", count, **PLENTY)
    few = LEARNERS[bench.times(1, 0)]
    yield _row(bench, f"{few:,} learners, an engine as on two cores", few)


def limit(bench: Bench) -> Iterator[Row]:
    """Calls a second, answers alone, of 64 learners without a pause, where the engine takes no time: all that is left
    is HTTP, the scheduler and the log."""
    with _service(bench, "limit", WAITING_ANSWER="0", **PLENTY) as service:
        met = _crowd(service, 64, bench.times(10, 2), pause=0, tunes=0)["work"]
    yield Row(
        "answers that take no time, 64 learners", [len(met["waits"]) / met["seconds"]], "a second", note=_note(met)
    )


def _tunes_a_second(bench: Bench, count: int, smaller: int) -> float:
    with _tuners(bench, f"tuners-{count}-{smaller}", count, WAITING_SMALLER=str(smaller)) as service:
        _crowd(service, 2 * count, MOMENT, pause=0, tunes=1)  # starts all of them
        met = _crowd(service, 2 * count, bench.times(15, 3), pause=0, tunes=1)["work"]
    return len(met["waits"]) / met["seconds"]


def _row(bench: Bench, what: str, count: int, **settings: str) -> Row:
    with _service(bench, what.replace(" ", "-"), **settings) as service:
        met = _crowd(service, count, bench.times(20, 5), PAUSE_SECONDS, TUNES)
        begun = met["begin"]
        used = sum(service.tree()[0].cpu_times()[:2])
    rate = len(met["work"]["waits"]) / met["work"]["seconds"]
    note = f"{_note(met['work'])}; {count} adapters made at once in {begun['seconds']:.1f} s ({_note(begun)})"
    return Row(what, [rate], "calls a second", note=f"{note}; the service computed for {used:.0f} s")


def _tuners(bench: Bench, name: str, count: int, **settings: str) -> Service:
    return _service(bench, name, WAITING_PROCESSES=str(count), WAITING_TUNES=str(count), **settings)


def _service(bench: Bench, name: str, **settings: str) -> Service:
    return bench.service(name, module="tests.bench.waiting_service", **settings)


def _crowd(service: Service, learners: int, seconds: float, pause: float, tunes: float) -> dict:
    """What `crowd.py` says of so many learners."""
    command = [sys.executable, "-m", "tests.bench.crowd", service.url, TOKEN, str(learners)]
    command += ["--seconds", str(seconds), "--pause", str(pause), "--tunes", str(tunes)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=CROWD_SECONDS)
    if done.returncode:
        raise RuntimeError(f"the crowd failed: {done.stderr[-2000:]}")
    return json.loads(done.stdout)


def _note(met: dict) -> str:
    """How long they waited, and what was refused or failed."""
    waits = met["waits"] or [0.0]
    late = quantiles(waits, n=20)[-1] if len(waits) > 1 else waits[0]
    failed = f"{len(met['failed'])} failed" + (f" ({met['failed'][0]})" if met["failed"] else "")
    return f"waits {median(waits):.2f} s, 95 of 100 under {late:.2f} s; {met['refused']} tries refused, {failed}"
