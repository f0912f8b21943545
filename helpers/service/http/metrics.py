"""What the service counts, for `GET /metrics` in Prometheus' text format and for `python -m helpers.service status`.

Each application has a registry of its own, so that a process can hold several. Calls are named by their route
(`POST /models/{model_id}/complete`), never by an id or a workspace. `app.py` makes them; `commands.py` reads them.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import generate_latest

from ..calls import Calls

# Seconds: from a list of models (milliseconds) to a fine-tune at its limit of time.
BUCKETS = (0.005, 0.02, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600)

STARTED = "gradient_start_time_seconds"
RUNNING = "gradient_requests_running"
WAITING = "gradient_requests_waiting"
ADAPTERS = "gradient_adapters"
MEMORY = "process_resident_memory_bytes"
THREADS = "gradient_threads"
CORES = "gradient_cores"
OTHERS = "gradient_cores_used_by_other_programs"
WORKERS = "gradient_workers"
TUNERS = "gradient_tuners"
TUNES = "gradient_fine_tunes_at_once"
COMPLETIONS = "gradient_completions_at_once"


class Metrics:
    """The counters of one application.

    Args:
        calls: gives what the API does, or None while the engine loads.
    """

    content_type = CONTENT_TYPE_LATEST

    def __init__(self, calls: Callable[[], Calls | None]) -> None:
        self._calls = calls
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)  # memory and processor time; says nothing but on Linux
        self._requests = self._counter("gradient_requests", "Requests answered", ["call", "status"])
        self._refused = self._counter("gradient_requests_refused", "Requests refused as the service was busy (503)")
        self._seconds = Histogram(
            "gradient_request_seconds", "How long requests took", ["call"], buckets=BUCKETS, registry=self._registry
        )
        self._tunings = self._counter("gradient_fine_tunes", "Fine-tunes done")
        self._steps = self._counter("gradient_fine_tune_steps", "Optimizer steps taken by fine-tunes")
        self._tokens = self._counter("gradient_fine_tune_tokens", "Trainable tokens of fine-tunes")
        self._texts = self._counter("gradient_embedded_texts", "Texts made into vectors")
        self._text_tokens = self._counter("gradient_embedded_tokens", "Tokens of texts made into vectors")
        Gauge(STARTED, "When the service started, in Unix time", registry=self._registry).set(time.time())
        self._registry.register(self)

    def _counter(self, name: str, help_: str, labels: list[str] | None = None) -> Counter:
        return Counter(name, help_, labels or [], registry=self._registry)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """What is so right now, asked once for each text; what the engine does not know, of the machine say, is NaN."""
        calls = self._calls()
        running, waiting, adapters = calls.load() if calls else (0, 0, 0)
        load, places = (calls.machine(), calls.places()) if calls else (None, None)
        for name, help_, value in [
            (RUNNING, "Requests that the engine works on", running),
            (WAITING, "Requests that wait for the engine or for an adapter", waiting),
            (ADAPTERS, "Adapters stored", adapters),
            (THREADS, "Threads that the engine computes with", getattr(load, "threads", math.nan)),
            (CORES, "Cores that there are for it", getattr(load, "cores", math.nan)),
            (OTHERS, "Cores' worth of processor time that other programs use", getattr(load, "others", math.nan)),
            (TUNERS, "Processes that fine-tune or are ready to", getattr(load, "tuners", math.nan)),
            (WORKERS, "Workers of the Ray cluster, if there is one", getattr(load, "workers", math.nan)),
            (TUNES, "Fine-tunes that may run at once, now", getattr(places, "tunes", math.nan)),
            (COMPLETIONS, "Completions that may, now", getattr(places, "completions", math.nan)),
        ]:
            yield GaugeMetricFamily(name, help_, value)

    def answered(self, call: str, status: int, seconds: float) -> None:
        """Counts a request that was answered.

        Args:
            call: the method and the route's template.
            status: the HTTP status.
            seconds: how long it took.
        """
        self._requests.labels(call, status).inc()
        self._seconds.labels(call).observe(seconds)
        if status == 503:
            self._refused.inc()

    def tuned(self, steps: int, tokens: int) -> None:
        """Counts a fine-tune: its optimizer steps and its trainable tokens."""
        self._tunings.inc()
        self._steps.inc(steps)
        self._tokens.inc(tokens)

    def embedded(self, texts: int, tokens: int) -> None:
        """Counts texts that were made into vectors, and their tokens."""
        self._texts.inc(texts)
        self._text_tokens.inc(tokens)

    def text(self) -> bytes:
        """Everything, in the format of CONTENT_TYPE_LATEST."""
        return generate_latest(self._registry)


def read(text: str) -> dict[str, float]:
    """What `Metrics.text` wrote, by name; of a name with labels the last one."""
    from prometheus_client.parser import text_string_to_metric_families

    return {sample.name: sample.value for family in text_string_to_metric_families(text) for sample in family.samples}
