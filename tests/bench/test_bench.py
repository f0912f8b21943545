"""The bench's own arithmetic and wiring, without an engine."""

from __future__ import annotations

import inspect
from statistics import median

import pytest

from tests.bench import __main__ as bench
from tests.bench import busy, figures, learner, lesson, many, memory, runner, start
from tests.bench.figures import Row


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
    assert bench.README.read_text(encoding="utf-8").count(figures.BEGIN) == 1

    assert bench.main(["--list"]) == 0
    listed = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    written = {
        function
        for module in (start, learner, many, busy, lesson, memory)
        for name, function in inspect.getmembers(module, inspect.isfunction)
        if function.__module__ == module.__name__ and not name.startswith("_")
    }
    assert listed == list(runner.BENCHMARKS)
    assert {function for function, _ in runner.BENCHMARKS.values()} == written
