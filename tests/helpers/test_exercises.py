"""Exercise checkers judge behaviour, say what was wrong, and leave nothing behind."""

from __future__ import annotations

import pytest

from helpers import exercises
from helpers.exercises import chaining, fine_tuning
from helpers.service.catalog import ALL_MODELS
from helpers.service.engine import Completion, LikelyToken, Token, TuningOutcome


class Hostile:
    """An object that fails at whatever is asked of it."""

    def _fail(self, *_):
        raise RuntimeError(self)

    __getattr__ = __repr__ = __str__ = __len__ = __iter__ = __bool__ = __eq__ = __hash__ = __contains__ = _fail


QUESTIONS = [name for modules in exercises.LESSONS.values() for module in modules for name in module.QUESTIONS]
EXERCISES = [name for modules in exercises.LESSONS.values() for module in modules for name in module.EXERCISES]
ROOM = "max_generated_token_count"
# What is an answer to no exercise, whatever the model says.
NONSENSE = [
    *(None, True, 0, -1, 3.5, float("nan"), 10**30, "", " ", "?", "text", "\ud800", "x" * 100_000, b"bytes", object()),
    *([], (), {}, set(), [None], [[]], [()], [1, 2], range(3), iter([("walk", "walked")]), len, int, ValueError("x")),
    *(("walk", "walked"), "walk walked", {"walk": "walked"}, {("walk", "walked")}, [{"walk": "walked"}]),
    *([("walk",)], [("walk", "walked", "x")], [("walk", None)], [("", "")], [("1", "2")], [("walk", "wal\nked")]),
    *(
        [["walk", "walked"], "go"],
        [("walk", "walked\n\nPresent: jump\nPast: jumped")],
        [("JUMP", "x")],
        [("to run", "x")],
    ),
    *({"temperature": 0.9}, {ROOM: 30, "temperature": 0.9}, {ROOM: None}, {ROOM: "30"}, {ROOM: 3.5}, {ROOM: True}),
    *({ROOM: 0}, {ROOM: -1}, {ROOM: 10**9}, {ROOM: 30, "query": "Hi"}, {ROOM: 30, 1: 2}, {ROOM: 30, "top_k": "x"}),
    *({ROOM: 30, "guidance": {"type": "choice", "value": ["dogs."]}}, {ROOM: 30, None: None}, [(ROOM, 30)]),
    *(Hostile(), [Hostile()], [(Hostile(), Hostile())], {ROOM: Hostile()}, {ROOM: 30, "temperature": Hostile()}),
]


@pytest.fixture
def obliging(engine, monkeypatch):
    """A model that says what is wanted, as soon as it is asked for it."""
    plain = engine.complete

    def complete(request, slug, adapter, given_up):
        if adapter is not None:
            return plain(request, slug, adapter, given_up)
        verb = request.prompt.split("Present: ")[-1].split("\n")[0]
        return Completion(f" {exercises.VERBS.get(verb, 'dogs.')}", "stop")

    monkeypatch.setattr(engine, "complete", complete)


def assert_not_yet(name, *answer):
    solved, reason = exercises.attempt(name, *answer)
    assert solved is False
    assert reason.endswith(".")
    assert "\n" not in reason
    assert len(reason) < 400


@pytest.mark.parametrize("nonsense", NONSENSE, ids=range(len(NONSENSE)))
def test_no_exercise_takes_nonsense_or_ends_in_a_stack_trace(base, gradient, obliging, nonsense):
    assert_not_yet("finish", nonsense, base)
    assert_not_yet("few_shot", nonsense, base)
    for name in ("two_words", "sure", "own_fact"):
        assert_not_yet(name, nonsense, nonsense, base)
    for name in ("template", "clue", "answers_only", "keep"):
        assert_not_yet(name, nonsense, base)
    if not isinstance(nonsense, str):
        assert_not_yet("own_fact", "Who is it?", nonsense, base)
        assert_not_yet("own_fact", nonsense, "Admiral Plum", base)
    assert len(gradient.list_models(only_base=False)) == len(ALL_MODELS)


@pytest.mark.parametrize("name", ["finish", "few_shot", "own_fact"])
def test_no_exercise_takes_what_is_no_model_or_another_number_of_answers(base, obliging, name):
    right = {"finish": ({ROOM: 30},), "few_shot": ([("walk", "walked")],), "own_fact": ("Who is it?", "Admiral Plum")}
    assert exercises.attempt(name, *right[name], base)[0] is True
    for nonsense in NONSENSE:
        assert_not_yet(name, *right[name], nonsense)
    for answer in ((), right[name], (base,), (base, *right[name]), (*right[name], base, base)):
        assert_not_yet(name, *answer)
    assert_not_yet(name, *right[name], type(base))


def test_what_the_endpoint_refuses_is_a_reason_and_a_dead_one_too(base, engine, monkeypatch):
    engine.fail = RuntimeError("secret")
    for name, answer in (("finish", {ROOM: 30}), ("few_shot", [("walk", "walked")])):
        assert_not_yet(name, answer, base)
    adapter = base.create_model_adapter(name="a")
    adapter.delete()
    assert "There is no model adapter" in exercises.attempt("finish", {ROOM: 30}, adapter)[1]
    monkeypatch.setattr(base._api_instance.api_client.configuration, "host", "http://127.0.0.1:9/api")
    assert "Nothing answers" in exercises.attempt("finish", {ROOM: 30}, base)[1]


@pytest.mark.parametrize("name", [None, [], {}, "", "no such", Hostile])
def test_an_exercise_that_there_is_not_is_said_with_those_there_are(name):
    with pytest.raises(ValueError, match="few_shot"):
        exercises.check(name, {}, None)


def test_the_first_exercise_wants_an_answer_that_ends_by_itself(base, engine, monkeypatch):
    assert exercises.attempt("finish", {"max_generated_token_count": 4}, base)[0] is False
    monkeypatch.setattr(engine, "complete", lambda *_: Completion(" dogs.", "stop"))
    room = {"max_generated_token_count": 30}
    assert exercises.attempt("finish", room, base) == (True, "It ended by itself: 'dogs.'.")
    assert exercises.attempt("finish", {**room, "temperature": 0}, base)[0] is True
    monkeypatch.setattr(engine, "complete", lambda *_: Completion("", "stop"))
    assert "nothing" in exercises.attempt("finish", room, base)[1]


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


def test_a_part_of_a_word_is_no_answer(base, engine, monkeypatch):
    monkeypatch.setattr(engine, "complete", lambda *_: Completion(" Anything, Admiral  plum.", "stop"))
    assert "after the fine-tune it says" in exercises.attempt("own_fact", "Which?", "An", base)[1]
    assert "knew that already" in exercises.attempt("own_fact", "Which?", "admiral Plum", base)[1]


def test_the_third_exercise_teaches_and_cleans_up(base, gradient):
    solved, reason = exercises.attempt("own_fact", "Who is it?", "Admiral Plum", base)
    assert solved is True
    assert "Admiral Plum" in reason
    assert len(gradient.list_models(only_base=False)) == len(ALL_MODELS)


def test_check_prints_a_verdict_and_hint_a_hint(base, capsys):
    exercises.check("finish", {ROOM: 4}, base)
    exercises.hint("finish")
    out = capsys.readouterr().out
    assert out.startswith("Not yet: ")
    assert "exercises.hint('finish')" in out
    with pytest.raises(ValueError, match="few_shot"):
        exercises.hint("no such")


@pytest.fixture
def learned(engine, monkeypatch):
    """What an adapter says after a fine-tune, and how many tokens had a loss: as a test sets it."""
    answers: dict[str, str] = {}
    plain = engine.complete

    def complete(request, slug, adapter, given_up):
        said = answers.get(request.prompt.split("Question: ")[-1].split("\n")[0])
        return Completion(said, "stop") if said is not None else plain(request, slug, adapter, given_up)

    monkeypatch.setattr(engine, "complete", complete)
    return answers


def test_a_template_is_judged_by_reviews_that_it_has_not_seen(base, engine, monkeypatch):
    assert "6 of 12" in exercises.attempt("template", "Review: {text}\nSentiment:", base)[1]

    def sort(request, *_):
        return Completion(chaining.REVIEWS[request.prompt.removeprefix("Review: ").split("\n")[0]], "stop")

    monkeypatch.setattr(engine, "complete", sort)
    assert exercises.attempt("template", "Review: {text}\nSentiment:", base)[0] is True


def test_a_context_has_to_give_every_place(base, engine, monkeypatch):
    assert exercises.attempt("clue", "The keys are {place}.", base)[0] is True  # the fake engine echoes
    monkeypatch.setattr(engine, "complete", lambda *_: Completion("behind the old clock", "stop"))
    assert "flower pot" in exercises.attempt("clue", "The keys are {place}.", base)[1]


def test_two_words_are_judged_by_their_tokens(base, engine, monkeypatch):
    monkeypatch.setattr(engine, "tokenize", lambda text: [Token(1, "x")] * (1 if text == " children" else 4))
    assert exercises.attempt("two_words", "children", "zymurgist", base)[0] is True
    assert "4 tokens" in exercises.attempt("two_words", "zymurgist", "children", base)[1]
    assert "letters" in exercises.attempt("two_words", "child", "zymurgist", base)[1]


def test_a_model_is_sure_after_one_prompt_and_not_after_the_other(base, engine, monkeypatch):
    shares = {"one two three": 0.95, "my name is": 0.05}
    monkeypatch.setattr(engine, "next_tokens", lambda prompt, *_: [LikelyToken(1, " x", shares[prompt])])
    assert exercises.attempt("sure", "one two three", "my name is", base)[0] is True
    assert "5%" in exercises.attempt("sure", "my name is", "one two three", base)[1]
    assert "again and again" in exercises.attempt("sure", "one one one", "my name is", base)[1]


def test_a_loss_on_more_than_the_answer_is_said(base, learned, engine, monkeypatch):
    learned[fine_tuning.CAT[0]] = "Bosun"
    assert exercises.attempt("answers_only", {"inputs": "x"}, base)[0] is True
    monkeypatch.setattr(engine, "fine_tune", lambda *_: TuningOutcome(20, 1.0, 1))
    assert "20 tokens" in exercises.attempt("answers_only", {"inputs": "x"}, base)[1]


def test_what_was_kept_is_counted_strictly(base, learned):
    learned.update({fine_tuning.FACT[0]: "The Dallas Cowboys!", **fine_tuning.EVERYDAY})
    assert exercises.attempt("keep", [{"inputs": "x"}], base)[0] is True
    learned.update({"What is 1 + 1?": "1 + 1 is 3.", "What colour is the sky?": "The sky!"})
    assert "4 of 6" in exercises.attempt("keep", [{"inputs": "x"}], base)[1]
    assert "leave it out" in exercises.attempt("keep", [{"inputs": "What is 1 + 1? 2"}], base)[1]


def test_progress_counts_what_was_solved_and_says_what_is_left(base, obliging, capsys):
    exercises.check("finish", {ROOM: 30}, base)
    exercises.question("cut_off", "a")
    exercises.question("cut_off", "b")
    assert "Right!" in capsys.readouterr().out
    exercises.progress()
    first, *others = capsys.readouterr().out.splitlines()
    assert "1 of 3 exercises, 1 of 3 questions; left: two_words, sure," in first
    assert all(" 0 of " in line for line in others)


def test_no_name_is_given_twice():
    names = [*EXERCISES, *QUESTIONS]
    assert sorted(set(names)) == sorted(names)


def test_the_right_choice_is_not_always_in_the_same_place():
    asked = [one for modules in exercises.LESSONS.values() for module in modules for one in module.QUESTIONS.values()]
    places = [list(one.choices).index(one.right) for one in asked]
    assert max(map(places.count, places)) <= 0.6 * len(places)


@pytest.mark.parametrize("name", QUESTIONS)
def test_every_choice_is_explained_and_one_is_right(name, capsys):
    form = exercises.question(name)
    letters = [letter for _, letter in form.choice.options]
    for letter in letters:
        exercises.question(name, letter)
    said = capsys.readouterr().out.splitlines()
    assert len(said) == len(letters) >= 3
    assert sum(line.startswith("Right! ") for line in said) == 1
    assert sum(line.startswith("No: ") for line in said) == len(letters) - 1
    form.choice.value = "a"
    assert said[0].split(" ", 1)[0] in form._status.value
    assert "Run this cell" in repr(form)
    with pytest.raises(ValueError, match="a, b, c"):
        exercises.question(name, "z")


@pytest.mark.parametrize(
    ("name", "answer", "said"),
    [
        ("template", ("{text}" + "x" * chaining.MAX_TEMPLATE,), "are the most"),
        ("clue", ("{place}" + "x" * chaining.MAX_CLUE,), "are the most"),
        ("answers_only", ({"inputs": "x"},), "a new adapter is made on a base model"),
        ("keep", ([{"inputs": "x"}],), "a new adapter is made on a base model"),
    ],
)
def test_what_is_too_long_or_no_base_model_is_said(base, name, answer, said):
    model = base if said == "are the most" else base.create_model_adapter(name="mine")
    assert said in exercises.attempt(name, *answer, model)[1]


def test_a_fact_that_was_not_learned_is_said_with_the_answer(base, learned):
    learned[fine_tuning.CAT[0]] = learned[fine_tuning.FACT[0]] = "Anything else"
    assert "it says 'Anything else'" in exercises.attempt("answers_only", {"inputs": "x"}, base)[1]
    assert "the fact is not learned" in exercises.attempt("keep", [{"inputs": "x"}], base)[1]


def test_a_word_of_few_tokens_and_a_sure_second_prompt_are_said(base, engine, monkeypatch):
    monkeypatch.setattr(engine, "tokenize", lambda text: [Token(1, "x")])
    assert "at least" in exercises.attempt("two_words", "children", "zymurgist", base)[1]
    monkeypatch.setattr(engine, "next_tokens", lambda *_: [LikelyToken(1, " x", 0.95)])
    assert "at most" in exercises.attempt("sure", "one two three", "my name is", base)[1]
