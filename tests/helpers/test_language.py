"""The helpers speak the language that is asked for, at the time when they say something."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from helpers import BadInput, GradientLLM, doctor, exercises, forms, language
from helpers.environment import LANGUAGE_VARIABLE
from helpers.parameters import in_range
from tests.support.notebooks import ROOT


def sentence() -> str:
    with pytest.raises(BadInput) as error:
        in_range("temperature", 9)
    return str(error.value)


@pytest.fixture
def spanish(monkeypatch):
    monkeypatch.setenv(LANGUAGE_VARIABLE, "es")


def test_it_is_english_unless_another_is_chosen(monkeypatch):
    assert sentence() == "temperature has to be a number from 0 to 2, not 9."
    language.use("es")
    assert sentence() == "temperature tiene que ser un número de 0 a 2, no 9."
    language.use("en")
    assert sentence() == "temperature has to be a number from 0 to 2, not 9."


@pytest.mark.parametrize("code", ["es", "es_MX.UTF-8", " es "])
def test_the_environment_chooses_also_by_a_country(monkeypatch, code):
    monkeypatch.setenv(LANGUAGE_VARIABLE, code)
    assert "tiene que ser" in sentence()


@pytest.mark.parametrize("code", ["", "xx", "C.UTF-8", "../es"])
def test_a_language_without_a_catalogue_is_english(monkeypatch, code):
    monkeypatch.setenv(LANGUAGE_VARIABLE, code)
    assert "has to be" in sentence()


def test_choosing_one_that_there_is_not_names_those_there_are():
    with pytest.raises(ValueError, match=r"speak en, es.*'klingon'"):
        language.use("klingon")


def test_a_form_speaks_it_and_its_values_stay(spanish, gradient):
    form = forms.connect_form()
    assert [label for label, _ in form.where.options] == ["servicio local", "endpoint propio"]
    assert form.where.value == "local service"
    assert repr(form) == "ConnectForm: ejecuta esta celda para ver el formulario"
    assert forms.completion_form(gradient).temperature.description == "Temperatura"


def test_exercises_hints_and_questions_speak_it(spanish, capsys):
    exercises.hint("cosine")
    exercises.question("the_limit", "a")
    exercises.check("cosine", len)
    exercises.progress()
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("El producto escalar")
    assert said[1] == "No: de todos modos se comparan todos los vectores."
    assert said[2].startswith("Todavía no: falla con TypeError")
    assert said[3].startswith("1 Preparación        0 de 3 ejercicios, 0 de 3 preguntas; faltan: finish, two_words")
    assert "Deja en paz" in repr(exercises.question("the_limit"))


def test_the_doctor_and_errors_of_arguments_speak_it(spanish):
    assert "paquetes" in str(doctor.packages())
    with pytest.raises(BadInput, match="Un GradientLLM necesita model, el id de un modelo base o de un adaptador"):
        GradientLLM()


def test_the_copy_of_the_lessons_is_opened_at_its_own_index(tmp_path):
    command = [sys.executable, "-m", "helpers.lessons", str(tmp_path / "mias")]
    environment = {**os.environ, LANGUAGE_VARIABLE: "es"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60)
    assert str(tmp_path / "mias" / "es" / "README.md") in done.stdout
