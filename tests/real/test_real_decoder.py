"""The real decoder: what a llama.cpp server does to the process that it lives in."""

from __future__ import annotations

import contextlib
import subprocess
import sys

import pytest

from helpers.service import paths
from helpers.service.local import cores, model_files
from tests.support.notebooks import ROOT

pytestmark = pytest.mark.model

MAKE_AND_FREE = """
import sys
from pathlib import Path
from helpers.service.local import decoder

decoder.SLOTS, decoder.CONTEXT_TOKENS = 1, 256  # sooner made
for number in range(40):
    decoder._server(Path(sys.argv[1]), [], "key", 1)
print("all were freed")
"""
SECONDS = 120  # forty take 10 to 30


def test_a_server_may_be_freed_as_soon_as_it_is_made():
    command = [sys.executable, "-c", MAKE_AND_FREE, str(model_files.ensure(paths.cache_dir()).gguf)]
    with contextlib.ExitStack() as running:
        for _ in range(2 * cores.limit()):  # its loop begins late where others compute
            busy = running.enter_context(subprocess.Popen([sys.executable, "-c", "while True: pass"]))
            running.callback(busy.kill)
        made = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=SECONDS)
    assert made.stdout == "all were freed\n", made.stderr
