"""How much memory the service takes: when it only answers, while it tunes, and after. And the disk of an adapter."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread
from time import monotonic, sleep

from gradientai import ModelAdapter

from .figures import Row
from .processes import ADJUSTED, Bench, Service
from .workload import FACTS, ask, library, sample, story

IDLE_SECONDS = 5  # instead of the service's ten minutes
WATCH_SECONDS = 0.02


def memory(bench: Bench) -> Iterator[Row]:
    """Resident memory with eight adapters, at the peak of tuning, and after it; bytes of an adapter's folder.

    Resident memory is summed over the service and its tuner, so pages that both map count twice, and the file of the
    weights, which is mapped, counts as far as it has been read. The peak is the highest of fifty looks a second during
    eight fine-tunes of one sample and one of several. Then the tuner's idle time passes (set to a few seconds by
    `adjusted_service.py`) and what is left is read. The decoder alone is another service on the same folder that has
    no tuner, asked once for each of the eight adapters.
    """
    with bench.service("memory", module=ADJUSTED, TUNER_IDLE_SECONDS=str(IDLE_SECONDS)) as service:
        seen, models = _tuned(bench, service)
        sizes = [_bytes(service, model) / 1e6 for model in models]
        after = _after_idle(service)
        parts = service.parts_of_memory()
    yield Row("peak of tuning", [max(seen)], "MB", at_most=900)
    yield Row("some time after the last fine-tune", [after], "MB", at_most=450, note=parts)
    with bench.service("memory", "--no-preload") as service:
        mine = [model for model in service.gradient().list_models(only_base=False) if isinstance(model, ModelAdapter)]
        for number, model in enumerate(mine):
            ask(model, story(number), 16)
        note = service.parts_of_memory()
        yield Row(f"decoder with {len(mine)} adapters", [service.megabytes()], "MB", at_most=400, note=note)
    yield Row("disk, one adapter", sizes, "MB")


def _tuned(bench: Bench, service: Service) -> tuple[list[float], list[ModelAdapter]]:
    """The memory while eight adapters learn one sample each and another one several, and the eight."""
    base = service.base()
    models = [base.create_model_adapter(name=answer) for _, answer in FACTS[:8]]
    several = base.create_model_adapter(name="several")
    with _peak(service) as seen:
        for model, fact in zip(models, FACTS, strict=False):
            model.fine_tune(samples=[sample(*fact)])
            ask(model, story(1), 8)
        facts = library()[: bench.times(20, 4)]
        several.fine_tune(samples=[sample(fact["question"], fact["answer"]) for fact in facts])
    several.delete()
    return seen, models


@contextmanager
def _peak(service: Service) -> Iterator[list[float]]:
    """Watches the service's memory during the block; the list fills."""
    seen, ended = [service.megabytes()], Event()

    def watch() -> None:
        while not ended.wait(WATCH_SECONDS):
            seen.append(service.megabytes())

    thread = Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        ended.set()
        thread.join()


def _after_idle(service: Service) -> float:
    """Memory once the tuner's process has left, or what it is when that does not happen in time."""
    with_tuner = service.megabytes()
    deadline = monotonic() + IDLE_SECONDS + 15
    while monotonic() < deadline:
        sleep(0.2)
        if service.megabytes() < with_tuner - 200:
            sleep(1)
            break
    return service.megabytes()


def _bytes(service: Service, model: ModelAdapter) -> int:
    return sum(path.stat().st_size for path in service.folder_of(model).parent.rglob("*") if path.is_file())
