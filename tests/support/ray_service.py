"""`python -m tests.support.ray_service --ray …`: the service as a program, on a real Ray cluster whose workers wait
about as long as the real engine takes: for a machine that could not compute that much."""

import sys
from functools import partial

from helpers.service import __main__ as program
from helpers.service import server
from helpers.service.calls import Calls
from helpers.service.cluster.on_ray import engine_on_ray
from helpers.service.store import Store
from tests.support.fake_engine import WEIGHTS_FILES, FakeEngine

WAITING = partial(FakeEngine, complete_seconds=0.3, tune_seconds=1.5)


def make_calls(options, data, status) -> Calls:
    engine = engine_on_ray(options.ray, options.ray_workers, WEIGHTS_FILES, WAITING, lambda what, done: None)
    return Calls(engine, Store(data))


if __name__ == "__main__":
    server.make_calls = make_calls
    sys.exit(program.main())
