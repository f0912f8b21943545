"""The five recipes of CONTRIBUTING.md name what is there, and what they promise a newcomer holds."""

from __future__ import annotations

import inspect
import re

import pytest

from helpers import forms
from helpers.forms.form import Form
from helpers.service import engine, server
from helpers.service.http.app import create_app
from helpers.service.http.status import Status
from tests.conftest import ROOT, TOKEN

PAGE = (ROOT / ".github" / "CONTRIBUTING.md").read_text(encoding="utf-8")
RECIPES = dict(re.findall(r"^## (An? [\w ]+)\n\n(1\. .*?)(?=\n## |\Z)", PAGE, re.MULTILINE | re.DOTALL))


def test_there_are_the_five_recipes():
    assert list(RECIPES) == ["A lesson", "An API call", "A tuner", "A form", "A language"]


@pytest.mark.parametrize("name", RECIPES)
def test_every_file_that_a_recipe_names_is_there(name):
    named = [path for path in re.findall(r"`([\w./]+/[\w./]*)`", RECIPES[name]) if not re.search("NN_|/xx/", path)]
    assert len(named) >= 3
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_every_call_is_on_the_page_of_the_contract():
    page = (ROOT / "helpers" / "service" / "API.md").read_text(encoding="utf-8")
    for path in create_app(Status(), TOKEN).openapi()["paths"]:
        named = [part for part in path.removeprefix("/api").split("/") if part and "{" not in part]
        word = named[-1] if path.startswith("/api") else named[0]
        assert re.search(rf"[`/]{word}\b", page), f"{path} is not in helpers/service/API.md"


def test_a_method_of_the_engine_that_is_not_abstract_has_a_default():
    own = [method for name, method in vars(engine.Engine).items() if inspect.isfunction(method) and name[0] != "_"]
    assert all(method.__doc__ for method in own)
    assert {"tune", "prepare", "completing", "close"} <= set(dir(engine.Tuner))
    chosen = re.findall(r"from \.(tuner\.\w+) import \w+", inspect.getsource(server.local_engine))
    assert len(chosen) == 1, "local_engine is where a tuner is chosen"


def test_every_form_is_made_by_a_function_of_the_package():
    classes = [one for name, one in vars(forms).items() if inspect.isclass(one) and issubclass(one, Form)]
    makers = [one for name, one in vars(forms).items() if inspect.isfunction(one)]
    made = {inspect.signature(maker).return_annotation for maker in makers}
    assert {one.__name__ for one in classes} <= made
