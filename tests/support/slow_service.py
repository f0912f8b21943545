"""`python -m tests.support.slow_service`: `fake_service`, with an engine that takes a minute for each vector."""

import sys

from tests.support.fake_engine import FakeEngine
from tests.support.fake_service import run


def slow_engine() -> FakeEngine:
    engine = FakeEngine()
    engine.embed_seconds = 60.0
    return engine


if __name__ == "__main__":
    sys.exit(run(slow_engine))
