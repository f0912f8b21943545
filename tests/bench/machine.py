"""What the figures were measured on: the machine's kind and the versions, and nothing that names the machine itself."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from importlib import metadata
from pathlib import Path

import psutil

PACKAGES = ("gradientai", "fastapi", "uvicorn", "xllamacpp", "numpy", "tokenizers")
NAMED = ("xllamacpp", "numpy", "torch", "transformers", "peft")  # in the sentence, as far as they took part
BUSY_PERCENT = 15  # beyond it another program is at work, and the figures are not to be kept
ROOT = Path(__file__).parents[2]


def describe(peers: dict[str, str]) -> dict:
    """Cores, processor, memory, system, Python, versions, commit.

    Args:
        peers: the versions of the peers in their own environment; none where no peer takes part.
    """
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 2**30),
        "gpu": _gpu(),
        "system": platform.system(),
        "python": platform.python_version(),
        "versions": {name: metadata.version(name) for name in PACKAGES},
        "peers": peers,
        "commit": _commit(),
    }


def sentence(machine: dict) -> str:
    """The description in one sentence, for people."""
    versions = {**machine.get("peers", {}), **machine["versions"]}
    named = ", ".join(f"{name} {versions[name]}" for name in NAMED if name in versions)
    gpu = f", {machine['gpu']}" if machine["gpu"] else ", no GPU"
    return (
        f"Measured on {machine['cores']} cores of {machine['processor']}, {machine['memory_gb']} GB of memory{gpu}; "
        f"{machine['system']}, Python {machine['python']}, {named}."
    )


def busy_percent() -> float:
    """How busy the machine is with other things, over a second, in percent of all cores."""
    return psutil.cpu_percent(interval=1.0)


def _processor() -> str:
    listing = Path("/proc/cpuinfo")
    if listing.exists():
        for line in listing.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    if platform.system() == "Darwin":
        return _output("sysctl", "-n", "machdep.cpu.brand_string") or platform.machine()
    return platform.processor() or platform.machine()


def _gpu() -> str:
    return _output("nvidia-smi", "--query-gpu=name", "--format=csv,noheader").partition("\n")[0]


def _commit() -> str:
    return _output("git", "-C", str(ROOT), "rev-parse", "--short", "HEAD")


def _output(*command: str) -> str:
    """What a program prints, or nothing if there is no such program or it fails."""
    if shutil.which(command[0]) is None:
        return ""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
