"""The bench's own arithmetic and wiring, without an engine and without peers."""

from __future__ import annotations

import inspect
import re
from statistics import median

import pytest

from tests.bench import __main__ as bench
from tests.bench import (
    busy,
    embedding,
    figures,
    front,
    learner,
    lesson,
    machine,
    many,
    memory,
    retrieval,
    runner,
    start,
    tuning,
    workload,
)
from tests.bench.figures import Row
from tests.conftest import ROOT
from tests.peers import environment


def test_the_bench_counts_pairs_names_every_benchmark_and_writes_only_between_the_markers(capsys):
    slowing = Row("speed", [10, 20, 90], "tokens/s", [5, 10, 30], "peer", at_least=2.5)
    assert (slowing.comparison, median(slowing.ours) / median(slowing.peer), slowing.met) == (2, 2, False)
    drifting = Row("time", [1.0, 2.0, 9.0], "s", [2.0, 8.0, 9.0], "peer", at_most=0.5)
    assert (drifting.comparison, drifting.met) == (0.5, True)  # the medians' ratio would be 0.25
    later = Row("delay", [110, 130], "ms", [100, 100], "peer", difference=True, at_most=15)
    assert (later.comparison, later.met) == (20, False)
    assert Row("count", [26], "of 26", at_least=26).met
    assert Row("free", [1]).met is None
    assert Row.from_json(later.as_json()) == later
    with pytest.raises(ValueError, match="as many"):
        Row("odd", [1, 2], peer=[1])

    assert figures.table([slowing, later], before=[Row("delay", [200], "ms")]).splitlines()[2:] == [
        "| speed |  | 20 tokens/s | 10 tokens/s, peer | 2 | at least 2.50: **missed** |",
        "| delay | 200 ms | 120 ms | 100 ms, peer | +20 ms | at most 15 ms: **missed** |",
    ]
    page = f"above\n{figures.BEGIN}\nold\n{figures.END}\nbelow\n"
    assert figures.put_between_markers(page, "new") == page.replace("old", "new")
    with pytest.raises(ValueError, match="one line"):
        figures.put_between_markers(page + page, "new")
    for shown in (bench.README, bench.PAGE):
        assert shown.read_text(encoding="utf-8").count(figures.BEGIN) == 1

    assert bench.main(["--list"]) == 0
    listed = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    written = {
        function
        for module in (start, learner, many, busy, lesson, tuning, embedding, memory, retrieval, front)
        for name, function in inspect.getmembers(module, inspect.isfunction)
        if function.__module__ == module.__name__ and not name.startswith("_")
    }
    assert listed == list(runner.BENCHMARKS)
    assert {benchmark.measure for benchmark in runner.BENCHMARKS.values()} == written


# --- peers ---


def test_the_table_of_benchmarks_says_which_have_peers():
    starts_one = re.compile(r"\bbench\.(llama|peer|run_script)\(")
    for name, benchmark in runner.BENCHMARKS.items():
        assert bool(starts_one.search(inspect.getsource(benchmark.measure))) == benchmark.has_peers, name


@pytest.fixture
def nothing_real(monkeypatch, tmp_path) -> None:
    """The command without its engines: each benchmark finds one row; the results go elsewhere."""
    monkeypatch.setattr(bench.model_files, "ensure", lambda cache: None)
    monkeypatch.setattr(bench, "run_limited", lambda name, given: ([Row(name, [1.0], note=str(given.peers))], ""))
    monkeypatch.setattr(bench, "LATEST", tmp_path / "bench.json")


def test_no_environment_is_made_for_benchmarks_that_have_no_peers(nothing_real, monkeypatch, capsys):
    def made() -> None:
        raise AssertionError("it was made")

    monkeypatch.setattr(environment, "python", made)
    assert bench.main(["--only", "memory", "--only", "lesson-facts"]) == 0
    assert "- memory: None" in capsys.readouterr().out


def test_peers_run_in_their_environment_and_their_versions_are_told(nothing_real, monkeypatch, capsys):
    monkeypatch.setattr(environment, "python", lambda: "the peers' python")
    monkeypatch.setattr(environment, "versions", lambda: {"torch": "9.8.7+cpu"})
    assert bench.main(["--only", "tuner"]) == 0
    said = capsys.readouterr().out
    assert "- tuner: the peers' python" in said
    assert "torch 9.8.7+cpu" in said


def test_without_the_environment_only_benchmarks_with_peers_fail(nothing_real, monkeypatch, capsys):
    def unavailable() -> None:
        raise environment.Unavailable("The peers can't be installed here (no network).")

    monkeypatch.setattr(environment, "python", unavailable)
    assert bench.main(["--only", "tuner", "--only", "memory"]) == 1
    said = capsys.readouterr().out
    assert "tuner failed: The peers can't be installed here (no network)." in said
    assert "| memory | 1 s |" in said


def test_a_benchmark_that_has_peers_and_does_not_say_so_is_told(tmp_path):
    with pytest.raises(RuntimeError, match=r"runner.BENCHMARKS does not say so"):
        bench.Bench(True, tmp_path, None, None).peer("torch_tuner.py")


def test_what_the_kit_and_its_peers_both_have_is_pinned_alike():
    ours, theirs = (
        dict(re.findall(r"^([\w.-]+)==(\S+)", path.read_text(encoding="utf-8"), re.MULTILINE))
        for path in (ROOT / "requirements.txt", environment.REQUIREMENTS)
    )
    both = set(ours) & set(theirs)
    assert {name: ours[name] for name in both} == {name: theirs[name] for name in both}
    assert both == {"xllamacpp", "safetensors", "tokenizers"}


def test_kept_results_of_all_times_can_be_shown():
    versions = {"xllamacpp": "1", "torch": "2", "transformers": "3", "peft": "4"}
    old = {"cores": 2, "processor": "a CPU", "memory_gb": 8, "gpu": "", "system": "Linux", "python": "3.11.7"}
    assert machine.sentence({**old, "versions": versions}).endswith("xllamacpp 1, torch 2, transformers 3, peft 4.")


# --- the tuner's peer does the same work ---

DONE = {"steps": 8, "sum_loss": 100.0}


def test_a_peer_that_learns_the_same_is_compared_and_its_steps_are_told():
    said = workload.same_samples(
        "torch", [4, 8], [50.0, 101.0], [{"steps": 4, "sum_loss": 50.0}, {**DONE, "steps": 13}]
    )
    assert said == "steps 8 against 13; first losses differ by 0.99 % at most"


def test_a_peer_that_learns_something_else_is_not_compared():
    with pytest.raises(RuntimeError, match=r"loss of 100\.00 where ours is 97\.00"):
        workload.same_samples("torch", [8], [97.0], [DONE])
