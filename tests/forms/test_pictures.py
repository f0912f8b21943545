"""What a page shows of a form that can't be live there: a picture that is up to date, or a question as text."""

from __future__ import annotations

import base64
import inspect
import re

import pytest
from PIL import Image

from helpers import exercises, forms
from helpers.exercises.exercise import Question
from helpers.forms import form as shared
from helpers.forms.form import PICTURES, Form, with_code
from tests.support.form_outlines import KEY, outline, pictured

FORMS = [name for name, one in vars(forms).items() if inspect.isclass(one) and issubclass(one, Form)]
MOST_BYTES = 40_000
LIVE = "application/vnd.jupyter.widget-view+json"


@pytest.fixture
def made(gradient) -> dict[str, Form]:
    return pictured(gradient)


def written(name: str) -> str:
    """The outline that a form's picture carries."""
    with Image.open(PICTURES / f"{name}.png") as picture:
        return picture.text[KEY]


@pytest.mark.parametrize("name", FORMS)
def test_a_form_has_a_small_picture_of_what_it_is_now(name, made):
    assert written(name) == outline(made[name]), "run `python -m tests.browser.pictures`"
    assert (PICTURES / f"{name}.png").stat().st_size <= MOST_BYTES


def test_no_picture_lies_about_that_no_form_has():
    assert {path.stem for path in PICTURES.iterdir()} == set(FORMS)


def test_another_label_or_style_is_another_outline_and_an_answer_is_not(made, monkeypatch):
    form = made["CompletionForm"]
    before = outline(form)
    form.prompt.value, form._answers.value = "Another", "<p>An answer</p>"
    assert outline(form) == before
    form.prompt.description = "Text"
    after = outline(form)
    assert after != before
    monkeypatch.setattr("tests.support.form_outlines.STYLE", "")
    assert outline(form) != after


@pytest.mark.parametrize("name", FORMS)
def test_a_page_gets_the_form_its_picture_with_a_text_and_how_to_get_the_form(name, made):
    bundle = made[name]._repr_mimebundle_()
    assert bundle[LIVE]["model_id"] == made[name].model_id
    alt, png = re.search('<img alt="(.*?)" src="data:image/png;base64,(.*?)">', bundle["text/html"]).groups()
    assert len(alt) > 60
    assert base64.b64decode(png) == (PICTURES / f"{name}.png").read_bytes()
    assert bundle["text/html"].endswith(f"<p>{name}: run this cell to show the form</p>")


def test_a_form_of_which_there_is_no_picture_yet_is_shown_all_the_same(made, monkeypatch, tmp_path):
    monkeypatch.setattr(shared, "PICTURES", tmp_path)
    assert set(made["CompletionForm"]._repr_mimebundle_()) == {LIVE, "text/plain"}


def test_a_question_is_shown_whole_without_a_picture():
    bundle = exercises.question("not_trainable")._repr_mimebundle_()
    for shown in (bundle["text/plain"], re.sub("<.*?>", "", bundle["text/html"])):
        for choice in exercises.inside.QUESTIONS["not_trainable"].choices:
            assert choice in shown
        assert 'exercises.question("not_trainable", "a")' in shown.replace("&quot;", '"')
    assert "`trainable: False`" in bundle["text/plain"]
    assert "<code>trainable: False</code>" in bundle["text/html"]


def test_backticks_are_code_in_a_question_and_nothing_else_in_it_is_markup(monkeypatch):
    asked = Question("Is `a < b` <b>?", {"It is `a`": "`a` is less.", "No": "<i>"}, "It is `a`")
    monkeypatch.setitem(exercises._QUESTIONS, "made up", asked)
    form = exercises.question("made up")
    assert form.children[1].value == "<p><strong>Is <code>a &lt; b</code> &lt;b&gt;?</strong></p>"
    assert form.choice.options[0] == ("a  It is a", "a")
    form.choice.value = "b"
    assert "&lt;i&gt;" in form._status.value
    form.choice.value = "a"
    assert "<code>a</code> is less." in form._status.value


def test_a_lone_backtick_stays():
    assert with_code("one ` alone") == "one ` alone"
