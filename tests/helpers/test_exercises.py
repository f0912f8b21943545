"""Exercise checkers judge behaviour, say what was wrong, and leave nothing behind."""

from __future__ import annotations

import pytest

from helpers import exercises
from helpers.service.engine import Completion


def test_the_first_exercise_wants_an_answer_that_ends_by_itself(base, engine, monkeypatch):
    assert exercises.attempt("finish", {"max_generated_token_count": 4}, base)[0] is False
    monkeypatch.setattr(engine, "complete", lambda *_: Completion(" dogs.", "stop"))
    assert exercises.attempt("finish", {}, base) == (True, "It ended by itself: 'dogs.'.")
    monkeypatch.setattr(engine, "complete", lambda *_: Completion("", "stop"))
    assert "nothing" in exercises.attempt("finish", {}, base)[1]


def test_the_second_exercise_wants_verbs_that_were_not_shown(base, engine, monkeypatch):
    assert "'jump'" in exercises.attempt("few_shot", [("jump", "jumped")], base)[1]
    solved, reason = exercises.attempt("few_shot", [("walk", "walked")], base)
    assert (solved, "0 of 6" in reason) == (False, True)

    def past(request, *_):
        verb = request.prompt.split("Present: ")[-1].split("\n")[0]
        return Completion(f" {exercises.VERBS[verb]}\n\nPresent: more", "length")

    monkeypatch.setattr(engine, "complete", past)
    assert exercises.attempt("few_shot", [("walk", "walked")], base)[0] is True


@pytest.mark.parametrize(
    ("question", "answer", "word"),
    [
        ("", "a", "write a question"),
        ("q?", " ", "write a question"),
        ("q?", "word " * 13, "12 words"),
        ("What is q?", "what is q", "knew that already"),
    ],
    ids=["no question", "no answer", "long answer", "known already"],
)
def test_the_third_exercise_says_what_is_wrong(base, question, answer, word):
    assert word in exercises.attempt("own_fact", question, answer, base)[1]


def test_the_third_exercise_teaches_and_cleans_up(base, gradient):
    solved, reason = exercises.attempt("own_fact", "Who is it?", "Admiral Plum", base)
    assert solved is True
    assert "Admiral Plum" in reason
    assert len(gradient.list_models(only_base=False)) == 3


def test_check_prints_a_verdict_and_hint_a_hint(base, capsys):
    exercises.check("finish", {}, base)
    exercises.hint("finish")
    out = capsys.readouterr().out
    assert out.startswith("Not yet: ")
    assert "exercises.hint('finish')" in out
    with pytest.raises(ValueError, match="few_shot"):
        exercises.hint("no such")
