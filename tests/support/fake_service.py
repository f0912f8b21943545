"""`python -m tests.support.fake_service`: the service as a program, with everything real but the engine.

See `conftest.py`.
"""

import sys
from collections.abc import Callable

from helpers.service import __main__ as program
from helpers.service import server
from helpers.service.calls import Calls
from helpers.service.store import Store
from tests.support.fake_engine import FakeEngine


def run(make_engine: Callable[[], FakeEngine] = FakeEngine) -> int:
    """The service's command, with an engine that is made instead of the real one."""
    server.make_calls = lambda options, data, status: Calls(make_engine(), Store(data), server.limits_of(options))
    return program.main()


if __name__ == "__main__":
    sys.exit(run())
