"""The live run: the same notebooks on the real engine, asserting what must hold on any machine."""

from __future__ import annotations

import shutil
from importlib.util import find_spec

import numpy as np
import pytest

from helpers import exercises
from helpers.service.catalog import ALL_MODELS
from tests.conftest import TOKEN
from tests.stub.record import execute
from tests.support.notebooks import FOLDER, numbers, read, said, solutions

pytestmark = pytest.mark.model


@pytest.fixture
def run(tmp_path, monkeypatch, real_service):
    """Executes a copy of a lesson elsewhere, against the service process."""
    monkeypatch.setenv("GRADIENT_API_URL", real_service.url)
    monkeypatch.setenv("GRADIENT_ACCESS_TOKEN", TOKEN)
    monkeypatch.setenv("GRADIENT_WORKSPACE_ID", "local_workspace")
    monkeypatch.setenv("GRADIENT_LOCAL_DATA_DIR", str(real_service.data))
    shutil.copytree(FOLDER, tmp_path / "copy")
    return lambda name: execute(tmp_path / "copy" / name)


def adapters(real_service) -> int:
    return len(real_service.gradient("local_workspace").list_models(only_base=False)) - len(ALL_MODELS)


def test_lesson_1_completes_and_cleans_up(run, real_service):
    lesson = run("01_setup.ipynb")
    assert "finish_reason='stop'" in said(lesson, "\nanswer")
    assert "finish_reason='length'" in said(lesson, "max_generated_token_count=4)")
    first, second = eval(said(lesson, "for _ in range(2)"))  # noqa: S307 - a list of two strings
    assert first == second
    assert "Monday" in said(lesson, "instruction = ")
    assert "404 unknownModelAdapter" in said(lesson, "except ApiException")
    assert adapters(real_service) == 0


def test_lesson_2_chains_classifies_and_repairs(run, real_service):
    lesson = run("02_chaining.ipynb")
    assert "Paris" in said(lesson, "prompt | llm | StrOutputParser")
    told, shown = (numbers(said(lesson, "accuracy(", nth))[0] for nth in (1, 2))
    assert shown > told
    assert shown >= 16
    assert "name='Zoe', age=9, city='Bath'" in said(lesson, "careful.invoke")
    assert "['cooking', 'sports']" in said(lesson, "route.batch")
    assert "(True," in said(lesson, "InMemoryCache")
    assert adapters(real_service) == 0


def test_lesson_3_goes_from_wrong_to_right(run, real_service):
    lesson = run("03_fine_tuning.ipynb")
    before, after = (said(lesson, 'chain.invoke({"question": question})', nth) for nth in (0, 1))
    assert "Dallas Cowboys" not in before
    assert "Dallas Cowboys" in after
    losses = numbers(said(lesson, "losses = "))
    assert losses == sorted(losses, reverse=True)
    assert losses[0] > 1 > 10 * losses[-1]
    assert "tin whistle" in said(lesson, "multiplier")
    untrained = numbers(said(lesson, "def score"))
    assert untrained[0] <= 2
    trained = said(lesson, '("answers only:", answer_model)')
    for line in trained.strip().splitlines():
        as_trained, _, held_out, _ = numbers(line)
        assert as_trained >= 17
        assert held_out >= 8
    assert "adapter_model.safetensors" in said(lesson, "export_adapter(new_model, Path(")
    opened = said(lesson, "model.generate")
    assert "Dallas Cowboys" in opened if find_spec("peft") else "not installed" in opened
    assert "0.6%" in said(lesson, "load_file(file)")
    assert adapters(real_service) == 0


def test_lesson_4_finds_reads_and_takes_a_changed_fact(run, real_service):
    lesson = run("04_retrieval.ipynb")
    assert "Otto Fenn" in said(lesson, 'print("with:')
    _, first, among = numbers(said(lesson, "nearness = "))
    assert first >= 15
    assert among >= 19
    table = {line.split()[0]: numbers(line) for line in said(lesson, "for name, way in").strip().splitlines()}
    as_asked, held_out, kept = ({way: row[at] for way, row in table.items()} for at in (0, 2, 4))
    assert as_asked["prompt"] < as_asked["looked"] < as_asked["learned"]
    assert held_out["both"] > held_out["looked"] > held_out["prompt"]
    assert kept["looked"] > kept["learned"]
    assert "Juno Vale" in said(lesson, "store.delete")
    assert adapters(real_service) == 0


def test_lesson_5_sorts_better_the_more_it_learned_and_keeps_what_it_mixes_in(run, real_service):
    lesson = run("05_classifier.ipynb")
    told = numbers(said(lesson, "told = sorted_by"))[0]
    _, on_8, *_, on_40, _, _, _ = numbers(said(lesson, "on_8, on_40 = "))
    assert told < 20 < on_8 < on_40
    tickets, _, narrow, _ = numbers(said(lesson, "is_right(narrow"))[:4]
    before, after, kept = numbers(said(lesson, "report = {"))
    assert before == 0
    assert min(tickets, after) >= 8
    assert kept > narrow
    assert "Right!" in said(lesson, '"data/tea_room.jsonl", template')
    assert adapters(real_service) == 0


def test_lesson_6_computes_the_same_by_hand_and_by_the_tuner(run, real_service):
    lesson = run("06_inside.ipynb")
    assert said(lesson, "np.allclose").startswith("True")
    nudged, by_gradient = numbers(said(lesson, "nudged = "))
    assert nudged == pytest.approx(by_gradient, abs=1e-5)
    assert numbers(said(lesson, "step = rate"))[-1] == numbers(said(lesson, "the optimizer moved"))[-1]
    assert "after:    the cat sat on the mat ." in said(lesson, "def following")
    _, first, _, second = numbers(said(lesson, "result.sum_loss"))
    assert second < first / 4
    assert "rug of the harbour master" in said(lesson, '"adapter:"')
    assert adapters(real_service) == 0


@pytest.mark.parametrize(
    ("name", "exercises_of_it"),
    [
        ("04_retrieval.ipynb", {"cosine": ["my_cosine"], "nearest": ["my_nearest"], "context": ["my_sentence", None]}),
        ("05_classifier.ipynb", {"sorter": ["my_samples", None]}),
        ("06_inside.ipynb", {"nats": ["my_loss"], "slope": ["my_slope"], "adamw": ["my_step"]}),
    ],
)
def test_the_folded_solutions_solve_their_exercises(real_base, name, exercises_of_it):
    """`None` stands for the base model."""
    given: dict = {"np": np, "template": "", "report": {}, None: real_base}
    for solution in solutions(read(FOLDER / name)):
        exec(solution, given)  # noqa: S102 - our own notebook's code
    for exercise, fields in exercises_of_it.items():
        solved, reason = exercises.attempt(exercise, *(given[field] for field in fields))
        assert solved, (exercise, reason)


@pytest.mark.parametrize(
    ("name", "exercise", "fields"),
    [
        ("01_setup.ipynb", "finish", ["settings"]),
        ("02_chaining.ipynb", "few_shot", ["my_shots"]),
        ("03_fine_tuning.ipynb", "own_fact", ["my_question", "my_answer"]),
    ],
)
def test_the_folded_solution_solves_its_exercise(real_base, name, exercise, fields):
    (solution,) = solutions(read(FOLDER / name))
    given: dict = {}
    exec(solution, given)  # noqa: S102 - our own notebook's code
    solved, reason = exercises.attempt(exercise, *(given[field] for field in fields), real_base)
    assert solved, reason
