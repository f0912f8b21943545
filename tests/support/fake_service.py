"""`python -m tests.support.fake_service`: the service as a program, with everything real but the engine.

See `conftest.py`.
"""

import sys

from helpers.service import __main__ as program
from helpers.service import server
from helpers.service.calls import Calls
from helpers.service.store import Store
from tests.support.fake_engine import FakeEngine

if __name__ == "__main__":
    server.make_calls = lambda options, data, status: Calls(FakeEngine(), Store(data), server.limits_of(options))
    sys.exit(program.main())
