"""`python -m tests.support.slow_service`: `fake_service`, with an engine that takes a minute for each vector."""

import sys

from helpers.service import __main__ as program
from helpers.service import server
from helpers.service.calls import Calls
from helpers.service.store import Store
from tests.support.fake_engine import FakeEngine


class SlowEngine(FakeEngine):
    """Embeds slowly."""

    def __init__(self) -> None:
        super().__init__()
        self.embed_seconds = 60.0


if __name__ == "__main__":
    server.make_calls = lambda options, data, status: Calls(SlowEngine(), Store(data))
    sys.exit(program.main())
