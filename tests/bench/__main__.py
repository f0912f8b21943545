"""`python -m tests.bench`: runs every benchmark, prints the table, keeps the figures.

    python -m tests.bench                       all of it, about half an hour on two cores
    python -m tests.bench --quick               few repetitions, to see that everything works; its figures mean little
    python -m tests.bench --list                what there is
    python -m tests.bench --only lesson-facts   one of them; may be given several times
    python -m tests.bench --keep two-cores --readme     and write tests/bench/results/two-cores.json and the pages

Each pair of figures is measured alternately in one run, ours, peer, ours, peer, while the other's processes are
suspended. Each benchmark runs in a process of its own with a time limit; what it found before a failure is kept, and
the failure is told. Stop other work first: how busy the machine was before the run is in the results.

Peers are other people's packages, torch among them, which the kit does without. They run in an environment of their
own, without our code on their path, and nowhere else: `tests/peers/environment.py` makes it once, in the cache folder,
before a run in which a benchmark has peers. Where it can't be made, these benchmarks fail and the others run.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
from datetime import datetime, timezone
from pathlib import Path
from time import monotonic

from helpers.service import paths
from helpers.service.local import model_files
from tests.peers import environment

from . import machine
from .figures import Row, notes, put_between_markers, table
from .processes import ROOT, Bench
from .runner import BENCHMARKS, run_limited

RESULTS = Path(__file__).parent / "results"
LATEST = ROOT / ".artifacts" / "bench.json"
PAGE = RESULTS / "README.md"  # has the whole table
README = ROOT / "README.md"
IN_README = (  # the rows that the front page has
    "one sample, call to answer",
    "64 tokens, base model",
    "32 tokens, beside 1 busy process",
    "peak of tuning",
)


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
        _write(PAGE, text)
        _write(README, short_report(found))
    return 1 if found["failed"] else 0


def listing() -> str:
    """Every benchmark, with the first line of what it compares."""
    first = {name: benchmark.measure.__doc__.partition("\n")[0] for name, benchmark in BENCHMARKS.items()}
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


def short_report(found: dict) -> str:
    """The machine and the rows of IN_README.

    Raises:
        ValueError: one of them was not measured.
    """
    rows = {row.what: row for row in map(Row.from_json, found["rows"])}
    missing = [what for what in IN_README if what not in rows]
    if missing:
        raise ValueError(f"the front page shows rows that were not measured: {', '.join(missing)}")
    return f"{machine.sentence(found['machine'])} {found['when']}.\n\n{table([rows[what] for what in IN_README])}"


def _write(page: Path, text: str) -> None:
    page.write_text(put_between_markers(page.read_text(encoding="utf-8"), text), encoding="utf-8")


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="Speed and memory, against peers.")
    parser.add_argument("--list", action="store_true", help="say what there is, and run nothing")
    parser.add_argument("--only", action="append", choices=list(BENCHMARKS), metavar="NAME", help="run this one")
    parser.add_argument("--quick", action="store_true", help="few repetitions, to see that everything works")
    parser.add_argument("--keep", metavar="NAME", help="keep the figures as tests/bench/results/NAME.json too")
    parser.add_argument("--readme", action="store_true", help="write the tables of results/README.md and of README.md")
    parser.add_argument("--show", type=Path, metavar="FILE", help="run nothing: show the results in this file")
    parser.add_argument("--before", type=Path, metavar="FILE", help="set the figures of this file beside the new ones")
    options = parser.parse_args(arguments)
    if options.keep and (options.show or not re.fullmatch(r"[\w.-]+", options.keep)):
        parser.error("--keep takes a plain name, and goes with a run, not with --show")
    return options


def _measure(options: argparse.Namespace) -> dict:
    names = options.only or list(BENCHMARKS)
    model = model_files.ensure(paths.cache_dir())  # a download or a conversion is not to be timed
    peers, versions, no_peers = _peers(names)
    found = {
        "machine": machine.describe(versions),
        "when": datetime.now(timezone.utc).date().isoformat(),
        "quick": options.quick,
        "busy_percent": machine.busy_percent(),
        "rows": [],
        "seconds": {},
        "failed": {},
    }
    for name in names:
        print(f"{name} …", end=" ", flush=True)
        began = monotonic()
        barred = no_peers if BENCHMARKS[name].has_peers else ""
        rows, failure = ([], barred) if barred else _run(name, options.quick, model, peers)
        _add(found, name, rows, failure, monotonic() - began)
    return found


def _run(name: str, quick: bool, model: model_files.Weights, peers: str | None) -> tuple[list[Row], str]:
    with tempfile.TemporaryDirectory(prefix="gradient-bench-", ignore_cleanup_errors=True) as folder:
        return run_limited(name, Bench(quick, Path(folder), model, peers))


def _add(found: dict, name: str, rows: list[Row], failure: str, seconds: float) -> None:
    """Puts what a benchmark found into the results, and says that it is done."""
    found["rows"] += [row.as_json() for row in rows]
    found["seconds"][name] = round(seconds, 1)
    if failure:
        found["failed"][name] = failure
    print(f"{seconds:.1f} s" + (f", failed: {failure}" if failure else ""))


def _peers(names: list[str]) -> tuple[str | None, dict[str, str], str]:
    """The peers' interpreter and their versions, if any of the benchmarks has peers; else why there are none."""
    if not any(BENCHMARKS[name].has_peers for name in names):
        return None, {}, ""
    try:
        return str(environment.python()), environment.versions(), ""
    except environment.Unavailable as reason:
        return None, {}, str(reason)


def _save(path: Path, found: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
