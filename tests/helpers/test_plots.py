"""Figures carry their alternative text into the notebook, and the same figure is the same bytes."""

from __future__ import annotations

import re

import pytest

from helpers import plots


def test_a_loss_curve_tells_what_it_shows():
    shown = plots.loss_curve([2.5, 0.5, 0.01], title='The "loss"')._repr_html_()
    assert shown.startswith('<img alt="The &quot;loss&quot;: 3 calls, from 2.50 down to 0.010 nats per token."')
    assert 'src="data:image/png;base64,' in shown


def test_the_same_curve_is_the_same_picture():
    assert plots.loss_curve([2.0, 1.0]).data == plots.loss_curve([2.0, 1.0]).data


@pytest.mark.parametrize("losses", [[], [1.0, 0.0], [-1.0]])
def test_losses_that_can_not_be_drawn_are_refused(losses):
    with pytest.raises(ValueError, match="above 0"):
        plots.loss_curve(losses)


def alt(shown) -> str:
    return re.search('alt="(.*?)"', shown._repr_html_())[1]


def test_a_loss_curve_names_what_it_counts():
    assert "3 steps, from 2.50 down to 0.010" in alt(plots.loss_curve([2.5, 0.5, 0.01], each="step"))


def test_heat_maps_say_how_large_they_are_and_what_is_in_them():
    shown = plots.heat_maps({"A": [[0.5, -1.25]], "B": [[0.0], [0.0]]}, digits=1)
    assert alt(shown) == ("Heat maps: A, 1 rows and 2 columns, from -1.25 to 0.50; B, 2 rows and 1 columns, all 0.")


def test_heat_maps_of_nothing_but_zeros_or_of_what_is_not_negative_are_drawn_too():
    assert "all 0" in alt(plots.heat_maps({"zeros": [[0, 0]]}))
    assert "from 0.25 to 0.75" in alt(plots.heat_maps({"chances": [[0.25, 0.75]]}, ["row"], ["x", "y"], digits=2))


@pytest.mark.parametrize("matrices", [{}, {"A": []}, {"A": [[]]}])
def test_heat_maps_of_nothing_are_refused(matrices):
    with pytest.raises(ValueError, match="at least one matrix"):
        plots.heat_maps(matrices)


def test_confusion_tables_count_what_is_right_and_name_the_worst_mistake():
    pairs = [("a", "a"), ("a", "b"), ("a", "b"), ("b", "b"), ("b", "a")]
    shown = plots.confusions({"told": pairs, "shown": [("a", "a")]}, ["a", "b"])
    assert alt(shown) == (
        "Confusion tables: told 2 of 5 right, most often wrong is b for a, 2 times; shown 1 of 1 right."
    )


@pytest.mark.parametrize("tables", [{}, {"told": []}, {"told": [("a", "c")]}])
def test_confusion_tables_of_nothing_or_of_other_classes_are_refused(tables):
    with pytest.raises(ValueError, match="all among a, b"):
        plots.confusions(tables, ["a", "b"])


def test_points_say_how_many_there_are_and_what_is_seen():
    shown = plots.points({"tea": [(0.0, 1.0), (1.0, 2.0)], "rust": [(-1.0, 0.0)]}, "Two words", "Tea lies right.")
    assert alt(shown) == "Two words. Points: 2 of tea, 1 of rust. Tea lies right."


@pytest.mark.parametrize("groups", [{}, {"tea": []}])
def test_points_of_nothing_are_refused(groups):
    with pytest.raises(ValueError, match="at least one group"):
        plots.points(groups, "Nothing", "")


@pytest.mark.parametrize("values", [{}, {"a": {}}, {"a": {"x": 1.0}, "b": {"y": 1.0}}])
def test_bars_of_other_labels_or_none_are_refused(values):
    with pytest.raises(ValueError, match="the same labels"):
        plots.bars(values, "A title", "a measure")
