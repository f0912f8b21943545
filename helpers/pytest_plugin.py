"""What `.pytest.ini` names with `-p`: lets a bare `pytest` find the stub server's plugin in the checkout's `tests/`.

pytest loads `-p` plugins before it looks at `pythonpath`, and only `helpers` is installed.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
pytest_plugins = ["tests.stub.plugin"]
