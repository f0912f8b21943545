"""`python -m tests.fake_service`: the service as a program, with everything real but the engine. See `conftest.py`."""

import sys

from helpers.service import __main__ as program
from helpers.service.operations import Operations
from helpers.service.store import Store
from tests.fake_engine import FakeEngine

if __name__ == "__main__":
    program._operations = lambda options, data, status: Operations(FakeEngine(), Store(data))
    sys.exit(program.main())
