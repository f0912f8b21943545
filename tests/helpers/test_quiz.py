"""Questions say why each choice is right or not, by clicks and by plain code; what is done is kept."""

from __future__ import annotations

import json

import pytest

from helpers import exercises
from helpers.exercises import EXERCISES, done
from helpers.exercises.questions import QUESTIONS
from helpers.exercises.quiz import answered
from helpers.service import paths

NAME = "nats"
RIGHT = QUESTIONS[NAME].right
WRONG = next(letter for letter in QUESTIONS[NAME].letters if letter != RIGHT)


def test_every_question_has_one_right_choice_and_a_reason_for_each():
    for name, asked in QUESTIONS.items():
        assert 3 <= len(asked.choices) == len(asked.why) <= 4, name
        assert asked.right in asked.letters, name
        assert len({*asked.choices, *asked.why}) == 2 * len(asked.choices), name
        assert all(why[-1] in ".)" for why in asked.why), name


def test_every_lesson_with_exercises_has_at_least_two_questions():
    for lesson in {one.lesson for one in QUESTIONS.values()}:
        assert sum(one.lesson == lesson for one in QUESTIONS.values()) in (2, 3, 4)
    assert {one.lesson for one in QUESTIONS.values()} <= {one.lesson for one in EXERCISES.values()}


def test_the_right_letters_are_spread():
    letters = [one.right for one in QUESTIONS.values()]
    assert max(map(letters.count, letters)) <= 0.6 * len(letters)


def test_plain_code_answers_a_question(capsys):
    exercises.question(NAME, WRONG)
    exercises.question(NAME, f" {RIGHT.upper()} ")
    wrong, right = capsys.readouterr().out.splitlines()
    assert wrong.startswith("No: ")
    assert right.startswith("Right: ")


@pytest.mark.parametrize("choice", ["z", "", None, 1, ["a"]])
def test_a_choice_that_there_is_not_is_refused(choice):
    with pytest.raises(ValueError, match="there are a, b, c"):
        answered(NAME, choice)
    with pytest.raises(ValueError, match="there are .*nats"):
        exercises.question("no such question")


def test_the_form_says_what_a_click_is_worth_and_keeps_a_right_one():
    form = exercises.question(NAME)
    assert form.value is None
    form.choice.value = WRONG
    assert 'role="alert"' in form._status.value
    assert done.kept()["questions"] == []
    form.choice.value = RIGHT
    assert "Right:" in form._status.value
    assert (form.value, done.kept()["questions"]) == (RIGHT, [NAME])


def test_progress_says_what_is_done_and_what_is_left(capsys):
    exercises.progress()
    before = capsys.readouterr().out
    exercises.check("nats", _nats)
    exercises.question(NAME, RIGHT)
    capsys.readouterr()
    exercises.progress()
    after = capsys.readouterr().out
    assert "Lesson 6: 0 of 3 exercises, 0 of 4 questions. Left: nats" in before
    assert "Lesson 6: 1 of 3 exercises, 1 of 4 questions. Left: slope" in after


def _nats(logits, target):
    import math

    largest = max(logits)
    return largest + math.log(sum(math.exp(one - largest) for one in logits)) - logits[target]


@pytest.mark.parametrize("content", ["", "[]", "{", '{"questions": 3}', json.dumps({"questions": [1, None, "nats"]})])
def test_a_damaged_file_of_what_is_done_stops_no_one(content):
    paths.data_dir().mkdir(parents=True)
    (paths.data_dir() / done.FILE).write_text(content, encoding="utf-8")
    done.keep("questions", "a_zero")
    assert "a_zero" in done.kept()["questions"]


def test_where_nothing_can_be_kept_the_lesson_goes_on(monkeypatch, tmp_path):
    (tmp_path / "a file").touch()
    monkeypatch.setattr(paths, "data_dir", lambda: tmp_path / "a file" / "below")
    assert answered(NAME, RIGHT).startswith("Right: ")
    assert done.kept() == {"exercises": [], "questions": []}
