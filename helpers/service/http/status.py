"""What the service is doing, as the routes, the guard and the thread that loads the engine share it.

Made by `server.py`; `app.py` and `guard.py` read it.
"""

from __future__ import annotations

import secrets
import time
import uuid
from dataclasses import dataclass, field

from .. import refusals
from ..calls import Calls


@dataclass
class Status:
    """What the service is doing.

    Attributes:
        calls: what the API does, or None while the engine loads.
        doing: what it is doing while it loads, for people.
        progress: how much of that is done, 0 to 1.
        instance: tells one run of the service from another.
        operator: the token of who runs the service, which no learner has.
        last_request: monotonic time of the last API call, in seconds.
    """

    calls: Calls | None = None
    doing: str = "Starting"
    progress: float = 0.0
    instance: str = field(default_factory=lambda: uuid.uuid4().hex)
    operator: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)
    last_request: float = field(default_factory=time.monotonic)

    @property
    def ready(self) -> Calls:
        """What the API does.

        Raises:
            Busy: the engine still loads.
        """
        if self.calls is None:
            raise refusals.Busy(f"The service is not ready yet ({self.doing}): try again in a moment.")
        return self.calls
