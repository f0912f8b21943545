"""An engine that waits about as long as the real one takes, for clusters on a machine that could not compute that much.

`tests.support.ray_service` gives it to workers, each of which makes its own.
"""

from __future__ import annotations

from tests.support.fake_engine import FakeEngine

TUNE_SECONDS = 1.5
COMPLETE_SECONDS = 0.3


def make() -> FakeEngine:
    engine = FakeEngine()
    engine.tune_seconds, engine.complete_seconds = TUNE_SECONDS, COMPLETE_SECONDS
    return engine
