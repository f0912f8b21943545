"""What `.pytest.ini` names with `-p`: lets a bare `pytest` find the stub server's plugin in the checkout's `tests/`.

pytest loads `-p` plugins before it looks at `pythonpath`, and only `helpers` is installed. What nbval leaves out of its
comparisons is named here as well: a path in `.pytest.ini` would hold in the checkout's own folder alone.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

CHECKOUT = Path(__file__).parents[1]

sys.path.insert(0, str(CHECKOUT))
pytest_plugins = ["tests.stub.plugin"]


def pytest_configure(config: pytest.Config) -> None:
    """Gives nbval its file, unless the command line names another."""
    if getattr(config.option, "nbval_sanitize_with", "") is None:
        config.option.nbval_sanitize_with = str(CHECKOUT / "tests" / "nbval_sanitize.cfg")
