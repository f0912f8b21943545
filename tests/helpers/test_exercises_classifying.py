"""The exercises of lesson 5: a confusion read, samples written, and a project that its checker measures itself."""

from __future__ import annotations

import json
import re

import pytest

from helpers import exercises
from helpers.exercises import classifying, own_project
from helpers.service.engine import Completion
from tests.helpers.test_exercises import NONSENSE, assert_not_yet

PAIRS = [("a", "b"), ("a", "b"), ("b", "a"), ("a", "a"), ("b", "b")]
SAMPLES = [(f"The {thing} is old.", place) for place in classifying.PLACES for thing in ("one", "other", "third")]
LINES = [
    {"prompt": f"{count} {what}", "answer": f"{what} {count}", "held_out": count > 4}
    for what in ("teas", "cakes", "soups")
    for count in range(1, 8)
]
TEMPLATE = "Order: {prompt}\nTicket:"
REPORT = {"before": 0, "after": 9, "kept": 10}


def no_adapter_is_left(gradient) -> bool:
    return len(gradient.list_models(only_base=False)) == len(gradient.list_models(only_base=True))


@pytest.fixture
def sorting(engine, monkeypatch):
    """Adapters that sort the notes right but for those in the list."""
    wrong: list[str] = []

    def complete(request, slug, adapter, given_up):
        note = re.search("Note: (.*)\n", request.prompt)[1]
        return Completion("attic" if adapter is None or note in wrong else classifying.NOTES[note], "stop")

    monkeypatch.setattr(engine, "complete", complete)
    return wrong


@pytest.fixture
def assistant(base, engine, monkeypatch):
    """An adapter that turns "2 teas" around; both models know the unrelated answers, but for `engine.forgotten`,
    which the adapter has forgotten."""
    answers = dict(exercises.UNRELATED)
    engine.forgotten, engine.mistaken = [], []

    def complete(request, slug, adapter, given_up):
        asked = re.search("(?:Question|Order): (.*)\n", request.prompt)[1]
        if asked in answers:
            return Completion(" nothing" if adapter and asked in engine.forgotten else f" {answers[asked]}.", "stop")
        turned = " ".join(reversed(asked.split()))
        return Completion(f" {turned}.\nOrder:" if adapter and asked not in engine.mistaken else " Thank you", "stop")

    monkeypatch.setattr(engine, "complete", complete)
    return base.create_model_adapter(name="assistant")


@pytest.mark.parametrize("nonsense", NONSENSE, ids=range(len(NONSENSE)))
def test_no_nonsense_passes(base, gradient, sorting, nonsense):
    assert_not_yet("worst_mistake", nonsense, PAIRS)
    assert_not_yet("worst_mistake", ("a", "b"), nonsense)
    assert_not_yet("sorter", nonsense, base)
    assert_not_yet("sorter", SAMPLES, nonsense)
    assert no_adapter_is_left(gradient)


@pytest.mark.parametrize("nonsense", NONSENSE, ids=range(len(NONSENSE)))
def test_no_nonsense_is_a_project(base, assistant, nonsense):
    right = [LINES, TEMPLATE, REPORT, assistant, base]
    for at in range(len(right)):
        assert_not_yet("project", *right[:at], nonsense, *right[at + 1 :])


def test_the_most_frequent_mistake_is_found_in_the_pairs_themselves():
    assert exercises.attempt("worst_mistake", ("a", "b"), PAIRS) == (True, "b for a, 2 times.")
    assert "1 times, and another one 2" in exercises.attempt("worst_mistake", ("b", "a"), PAIRS)[1]
    assert exercises.attempt("worst_mistake", ("a", "a"), PAIRS)[0] is False
    assert "no mistake" in exercises.attempt("worst_mistake", ("a", "b"), [("a", "a")])[1]


def test_samples_are_tried_on_notes_that_are_not_among_them(base, gradient, engine, sorting):
    assert exercises.attempt("sorter", SAMPLES, base) == (True, "9 of 9 notes that it had never seen are right.")
    sorting += list(classifying.NOTES)[:1]
    assert exercises.attempt("sorter", SAMPLES, base)[0] is True
    sorting += list(classifying.NOTES)[1:2]
    assert "went to the attic" in exercises.attempt("sorter", SAMPLES, base)[1]
    assert len(engine.tunings) == 3
    assert no_adapter_is_left(gradient)


@pytest.mark.parametrize(
    ("samples", "words"),
    [
        (SAMPLES[:5], "there are 5 samples"),
        (SAMPLES * 3, "there are 27 samples"),
        ([*SAMPLES, ("The bed is soft.", "bedroom")], "'bedroom' is none of the places"),
        ([*SAMPLES, ("Bed", "garden")], "2 to 20 words"),
        ([*SAMPLES, ("the car needs  new tyres", "garage")], "one of the notes that are asked"),
    ],
)
def test_samples_that_show_nothing_are_refused_before_a_fine_tune(base, engine, samples, words):
    assert words in exercises.attempt("sorter", samples, base)[1]
    assert engine.tunings == []


def test_a_project_is_read_from_a_file_or_a_list_and_measured(base, assistant, tmp_path):
    file = tmp_path / "data.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in LINES), encoding="utf-8")
    for data in (LINES, str(file), file):
        solved, reason = exercises.attempt("project", data, TEMPLATE, REPORT, assistant, base)
        assert (solved, reason) == (True, "From 0 to 9 of 9, and 10 of 10 kept.")
    assert "FileNotFoundError" in exercises.attempt("project", "no such", TEMPLATE, REPORT, assistant, base)[1]


@pytest.mark.parametrize("name", ["before", "after", "kept"])
def test_a_report_that_says_more_than_there_is_is_found_out(base, assistant, name):
    reported = {**REPORT, name: REPORT[name] + 1}
    reason = exercises.attempt("project", LINES, TEMPLATE, reported, assistant, base)[1]
    assert f"you report {name!r} as {reported[name]}, and I count {REPORT[name]}" in reason


def test_an_assistant_that_is_right_too_seldom_or_forgot_too_much_is_not_done(base, engine, assistant):
    held_out = [line["prompt"] for line in LINES if line["held_out"]]
    engine.mistaken = held_out[:5]
    reason = exercises.attempt("project", LINES, TEMPLATE, {**REPORT, "after": 4}, assistant, base)[1]
    assert "0 of 9 are right before and 4 after" in reason
    engine.mistaken, engine.forgotten = [], [question for question, _ in exercises.UNRELATED[:6]]
    reason = exercises.attempt("project", LINES, TEMPLATE, {**REPORT, "kept": 4}, assistant, base)[1]
    assert "only 4 of 10 unrelated answers are kept" in reason


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda lines: lines[:5], "at least 12 and 6 are wanted"),
        (lambda lines: [*lines, {**lines[0], "held_out": True}], "held out and learned as well"),
        (lambda lines: [{**line, "answer": "tea"} for line in lines], "all held-out answers are the same"),
        (lambda lines: [*lines, {**lines[0], "answer": " "}], "line 22 has an empty"),
        (lambda lines: [*lines, {"prompt": "x", "answer": "y"}], "line 22 is not"),
    ],
)
def test_a_data_set_that_shows_nothing_is_refused(base, assistant, change, words):
    assert words in exercises.attempt("project", change(LINES), TEMPLATE, REPORT, assistant, base)[1]


def test_the_base_model_and_a_template_without_a_hole_are_no_assistant(base, assistant):
    assert "the adapter" in exercises.attempt("project", LINES, TEMPLATE, REPORT, base, base)[1]
    for template in ("Order:", "{prompt} {prompt}"):
        assert "with {prompt} in it, once" in exercises.attempt("project", LINES, template, REPORT, assistant, base)[1]


def test_a_prompt_with_braces_stays_what_it_is(base, engine, assistant):
    examples = [own_project.Example("{x} teas", "teas {x}", True)]
    assert own_project.score(assistant, examples, TEMPLATE) == 1
