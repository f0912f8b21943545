"""The live run: the same notebooks on the real engine, asserting what must hold on any machine."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from helpers import exercises
from helpers.service.catalog import ALL_MODELS
from tests.conftest import TOKEN
from tests.lessons import LESSONS
from tests.stub import kernels
from tests.support.notebooks import FOLDER, read, solutions

pytestmark = pytest.mark.model


@pytest.fixture
def run(tmp_path, monkeypatch, real_service):
    """Executes a copy of a lesson elsewhere, against the service process."""
    monkeypatch.setenv("GRADIENT_API_URL", real_service.url)
    monkeypatch.setenv("GRADIENT_ACCESS_TOKEN", TOKEN)
    monkeypatch.setenv("GRADIENT_WORKSPACE_ID", "local_workspace")
    monkeypatch.setenv("GRADIENT_LOCAL_DATA_DIR", str(real_service.data))
    shutil.copytree(FOLDER, tmp_path / "copy")
    return lambda name: kernels.tidy(kernels.run(tmp_path / "copy" / name))


def adapters(real_service) -> int:
    return len(real_service.gradient("local_workspace").list_models(only_base=False)) - len(ALL_MODELS)


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.file)
def test_a_lesson_holds_what_it_says_and_cleans_up(run, real_service, lesson):
    lesson.holds(run(lesson.file))
    assert adapters(real_service) == 0


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.file)
def test_the_folded_solutions_solve_their_exercises(real_base, lesson):
    pairs = zip(lesson.solutions.items(), solutions(read(FOLDER / lesson.file)), strict=True)
    for (exercise, fields), solution in pairs:
        if not fields:
            continue
        given: dict = {"base": real_base, "np": np}
        exec(solution, given)  # noqa: S102 - our own notebook's code
        solved, reason = exercises.attempt(exercise, *(given[field] for field in fields))
        assert solved, (exercise, reason)
