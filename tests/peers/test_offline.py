"""The folder for laptops without a network, made and used for real: installed and answering with no way out."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from helpers import offline

SECONDS = 600
NO_NETWORK = {
    **dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), "http://127.0.0.1:9"),
    **dict.fromkeys(("NO_PROXY", "no_proxy"), "127.0.0.1,localhost"),
    "PIP_CONFIG_FILE": os.devnull,
}
# Both models: a completion, and vectors for a collection.
FIRST_ANSWER = """
import os
from helpers import GradientEmbeddings, connect, stop_local_service
gradient = connect()
base = gradient.get_base_model(base_model_slug="nous-hermes2")
print("answer:", base.complete(query="The three best pets are", max_generated_token_count=8).generated_output)
vectors = GradientEmbeddings(model="bge-large").embed_documents(["a cat"])
print("vectors:", len(vectors[0]))
stop_local_service()
"""


def run(command: list[str], folder: Path, **more: str) -> str:
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "PYTHONPATH", "GRADIENT"))
    }
    done = subprocess.run(
        command, cwd=folder, env={**kept, **NO_NETWORK, **more}, capture_output=True, text=True, timeout=SECONDS
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


@pytest.mark.peers
def test_a_laptop_without_a_network_installs_by_the_line_and_answers(tmp_path):
    stick = tmp_path / "stick"
    assert offline.main([str(stick)]) == 0
    line = next(
        line for line in (stick / "README.md").read_text(encoding="utf-8").splitlines() if "pip install" in line
    )
    kit = stick / "kit"
    run([sys.executable, "-m", "venv", ".venv"], kit)
    python = str(kit / ".venv" / ("Scripts" if os.name == "nt" else "bin") / "python")
    run([python, *line.split(".venv/bin/python ")[1].split()], kit)
    folders = {"GRADIENT_LOCAL_DATA_DIR": str(tmp_path / "data"), "GRADIENT_LOCAL_CACHE_DIR": str(tmp_path / "cache")}
    said = run([python, "-c", FIRST_ANSWER], kit, **folders)
    assert "answer: " in said
    assert "vectors: 1024" in said
