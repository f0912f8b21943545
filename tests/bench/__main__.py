"""`python -m tests.bench`: runs every benchmark, prints the table, keeps the figures.

    python -m tests.bench                       all of it, about a quarter of an hour on two cores
    python -m tests.bench --quick               few repetitions, to see that everything works; its figures mean little
    python -m tests.bench --list                what there is
    python -m tests.bench --only lesson-facts   one of them; may be given several times
    python -m tests.bench --keep two-cores --readme     and write tests/bench/results/two-cores.json and the README

Each pair of figures is measured alternately in one run, ours, peer, ours, peer, while the other's processes are
suspended. Each benchmark runs in a process of its own with a time limit; what it found before a failure is kept, and
the failure is told. Stop other work first: how busy the machine was before the run is in the results.

Peers are the very packages of requirements.txt, so they run in this interpreter, without our code on their path.
`--install-peers` makes a virtual environment of their own in the cache folder, with the same pins, and uses that.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import venv
from datetime import datetime, timezone
from pathlib import Path
from time import monotonic

from helpers.service import paths
from helpers.service.local import model_files

from . import machine
from .figures import Row, notes, put_between_markers, table
from .processes import ROOT, Bench
from .runner import BENCHMARKS, run_limited

RESULTS = Path(__file__).parent / "results"
LATEST = ROOT / ".artifacts" / "bench.json"
README = ROOT / "README.md"
PEER_PACKAGES = ("xllamacpp", "torch", "transformers", "peft", "safetensors", "tokenizers")
INSTALL_SECONDS = 1800


def main(arguments: list[str] | None = None) -> int:
    """Does what the options say.

    Returns:
        0, or 1 if a benchmark failed. A missed goal is a finding, not a failure.
    """
    options = _parse(arguments)
    if options.list:
        print(listing())
        return 0
    found = json.loads(options.show.read_text(encoding="utf-8")) if options.show else _measure(options)
    before = json.loads(options.before.read_text(encoding="utf-8")) if options.before else {"rows": []}
    text = report(found, [Row.from_json(row) for row in before["rows"]])
    print(f"\n{text}")
    if not options.show:
        _save(LATEST, found)
        if options.keep:
            _save(RESULTS / f"{options.keep}.json", found)
    if options.readme:
        README.write_text(put_between_markers(README.read_text(encoding="utf-8"), text), encoding="utf-8")
    return 1 if found["failed"] else 0


def listing() -> str:
    """Every benchmark, with the first line of what it compares."""
    first = {name: function.__doc__.partition("\n")[0] for name, (function, _) in BENCHMARKS.items()}
    return "\n".join(f"{name:22} {line}" for name, line in first.items())


def report(found: dict, before: list[Row] = ()) -> str:
    """The results for people: the machine, the table, the notes, the failures."""
    rows = [Row.from_json(row) for row in found["rows"]]
    parts = [f"{machine.sentence(found['machine'])} {found['when']}."]
    if found["quick"]:
        parts.append("**A quick run: too few repetitions to mean anything.**")
    if found["busy_percent"] > machine.BUSY_PERCENT:
        parts.append(f"**The machine was busy with other things ({found['busy_percent']:.0f} %) when it began.**")
    parts += [table(rows, before) if rows else "Nothing was measured.", notes(rows)]
    parts += [f"{name} failed: {why}" for name, why in found["failed"].items()]
    return "\n\n".join(part for part in parts if part)


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="Speed and memory, against peers.")
    parser.add_argument("--list", action="store_true", help="say what there is, and run nothing")
    parser.add_argument("--only", action="append", choices=list(BENCHMARKS), metavar="NAME", help="run this one")
    parser.add_argument("--quick", action="store_true", help="few repetitions, to see that everything works")
    parser.add_argument("--keep", metavar="NAME", help="keep the figures as tests/bench/results/NAME.json too")
    parser.add_argument("--readme", action="store_true", help="write the table between the markers in README.md")
    parser.add_argument("--show", type=Path, metavar="FILE", help="run nothing: show the results in this file")
    parser.add_argument("--before", type=Path, metavar="FILE", help="set the figures of this file beside the new ones")
    parser.add_argument("--install-peers", action="store_true", help="peers in a virtual environment of their own")
    options = parser.parse_args(arguments)
    if options.keep and (options.show or not re.fullmatch(r"[\w.-]+", options.keep)):
        parser.error("--keep takes a plain name, and goes with a run, not with --show")
    return options


def _measure(options: argparse.Namespace) -> dict:
    model = model_files.ensure(paths.cache_dir())  # a download or a conversion is not to be timed
    python = str(_installed_peers(paths.cache_dir())) if options.install_peers else sys.executable
    found = {
        "machine": machine.describe(),
        "when": datetime.now(timezone.utc).date().isoformat(),
        "quick": options.quick,
        "busy_percent": machine.busy_percent(),
        "peers": "an environment of their own" if options.install_peers else "the same environment",
        "rows": [],
        "seconds": {},
        "failed": {},
    }
    for name in options.only or BENCHMARKS:
        print(f"{name} …", end=" ", flush=True)
        with tempfile.TemporaryDirectory(prefix="gradient-bench-", ignore_cleanup_errors=True) as folder:
            bench = Bench(options.quick, Path(folder), model, python)
            began = monotonic()
            rows, failure = run_limited(name, bench)
        found["rows"] += [row.as_json() for row in rows]
        found["seconds"][name] = round(monotonic() - began, 1)
        if failure:
            found["failed"][name] = failure
        print(f"{found['seconds'][name]} s" + (f", failed: {failure}" if failure else ""))
    return found


def _installed_peers(cache: Path) -> Path:
    """The interpreter of the peers' own environment, made and filled from the pins of requirements.txt if need be."""
    pins = [
        line
        for line in (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
        if line.partition("==")[0] in PEER_PACKAGES
    ]
    home = cache / "bench-peers"
    python = home / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not python.exists():
        venv.create(home, with_pip=True)
    subprocess.run([str(python), "-m", "pip", "install", "--quiet", *pins], check=True, timeout=INSTALL_SECONDS)
    return python


def _save(path: Path, found: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
