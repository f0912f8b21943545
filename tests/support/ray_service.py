"""`python -m tests.support.ray_service --ray …`: the service as a program, on a real Ray cluster whose workers wait
instead of computing. See `waiting_engine.py`."""

import sys
from pathlib import Path

from helpers.service import __main__ as program
from helpers.service import server
from helpers.service.calls import Calls
from helpers.service.cluster.on_ray import engine_on_ray
from helpers.service.local.model_files import Weights
from helpers.service.store import Store
from tests.support import waiting_engine
from tests.support.fake_engine import WEIGHTS


def make_calls(options, data, status) -> Calls:
    weights = Weights(WEIGHTS.name, Path("none.gguf"), Path("none"), WEIGHTS.sha256)
    engine = engine_on_ray(options.ray, options.ray_workers, weights, waiting_engine.make, lambda what, done: None)
    return Calls(engine, Store(data))


if __name__ == "__main__":
    server.make_calls = make_calls
    sys.exit(program.main())
