"""The forms for models, completions and fine-tunes, clicked from Python against the fake service."""

from __future__ import annotations

import pytest
from gradientai.openapi.client.exceptions import ApiException

from helpers import GradientLLM, forms
from helpers.environment import MAX_TEMPERATURE
from helpers.forms import form as shared
from helpers.forms.sample_fields import ANSWERS_ONLY, UPLOADED
from helpers.forms.written_code import literal
from tests.conftest import TOKEN, WORKSPACE
from tests.stub.clicks import everything_in, press, upload
from tests.support.waiting import wait_until

pytestmark = pytest.mark.usefixtures("connected")  # so that the code of a form finds the service


@pytest.fixture
def completion(gradient):
    return forms.completion_form(gradient, "Hello")


@pytest.fixture
def tuning(gradient):
    form = forms.fine_tune_form(gradient, "Who?", "Me!", name="by clicks")
    press(form, "Create adapter")
    return form


def refused(form, button: str) -> str:
    """What the form says after a button whose work can't be done."""
    with pytest.raises(AssertionError) as caught:
        press(form, button)
    return str(caught.value)


def ran(code: str, capsys) -> str:
    """What the code prints."""
    exec(code, {})  # noqa: S102 - the code under test
    return capsys.readouterr().out


def test_the_picker_offers_base_models_and_adapters_and_says_which_weights_answer(gradient, base):
    adapter = base.create_model_adapter(name="mine")
    picker = forms.model_picker(gradient)
    assert picker.value.id == base.id
    assert "FakeModel" in picker._about.value
    picker.choice.value = adapter.id
    assert picker.value.name == "mine"
    assert "Adapter on nous-hermes2" in picker._about.value


def test_refresh_finds_new_adapters_and_keeps_the_choice(gradient, base):
    picker = forms.model_picker(gradient)
    picker.choice.value = picker.bases[0].id
    base.create_model_adapter(name="new")
    press(picker, "Refresh")
    assert [adapter.name for adapter in picker.adapters] == ["new"]
    assert picker.value.id == picker.bases[0].id


def test_adapters_of_one_name_are_told_apart(gradient, base):
    twins = [base.create_model_adapter(name="twin") for _ in range(2)]
    picker = forms.model_picker(gradient)
    assert len({picker.name(twin) for twin in twins}) == 2


def test_an_adapter_that_is_gone_is_said_and_refresh_mends_it(gradient, base):
    adapter = base.create_model_adapter(name="mine")
    form = forms.completion_form(gradient)
    form.picker.choice.value = adapter.id
    adapter.delete()
    assert "adapter" in refused(form, "Complete")
    press(form.picker, "Refresh")
    press(form, "Complete")
    assert form.value is not None


def test_a_completion_sends_what_is_set_and_nothing_else(completion, engine):
    press(completion, "Complete")
    completion.temperature.value, completion.top_k.value, completion.top_p.value = 0.7, 5, 0.9
    completion.template.value, completion.choices.value = True, "yes\n\nno\n"
    press(completion, "Complete")
    plain, full = (request for request, _, _ in engine.requests)
    assert (plain.temperature, plain.top_k, plain.top_p, plain.auto_template, plain.choices) == (
        0,
        None,
        None,
        False,
        None,
    )
    assert (full.temperature, full.top_k, full.top_p, full.auto_template) == (0.7, 5, 0.9, True)
    assert full.choices == ("yes", "no")


def test_answers_are_kept_and_shown_side_by_side(completion):
    for prompt in ("one", "two <b>"):
        completion.prompt.value = prompt
        press(completion, "Complete")
    assert completion.value.generated_output == "echo: two <b>"
    assert [asked.prompt for asked in completion.history] == ["one", "two <b>"]
    cards = completion._answers.value
    assert cards.index("echo: two &lt;b&gt;") < cards.index("echo: one")
    press(completion, "Clear answers")
    assert completion.value is None


def test_lone_surrogates_and_markup_from_a_model_break_nothing():
    assert shared.escaped("\ud800 <script>\nnext") == "? &lt;script&gt;<br>next"


@pytest.mark.parametrize("choices", ["", "yes\nno"])
def test_the_code_of_a_completion_gives_the_same_answer_twice_over(completion, capsys, choices):
    completion.prompt.value = 'A "quoted" {prompt}\nin ünïcode'
    completion.temperature.value, completion.template.value, completion.choices.value = 0.5, True, choices
    press(completion, "Complete")
    output = ran(completion.code, capsys)
    assert output == f"{completion.value.generated_output}\n" * 2
    assert TOKEN not in completion.code


def test_the_code_names_an_endpoint_that_the_environment_does_not(completion, monkeypatch, server, capsys):
    monkeypatch.setenv("GRADIENT_API_URL", "http://127.0.0.1:9/api")
    monkeypatch.setenv("GRADIENT_WORKSPACE_ID", "another")
    assert f'host="{server.url}", workspace_id="{WORKSPACE}"' in completion.code
    assert ran(completion.code, capsys) == "echo: Hello\n" * 2


def test_code_on_show_follows_the_fields(completion):
    completion._code._button.value = True
    assert "temperature" not in completion._code._text.value
    completion.temperature.value = 0.5
    assert "temperature=0.5" in completion._code._text.value
    completion.prompt.value = ""
    assert "# The prompt is empty" in completion._code._text.value


@pytest.mark.parametrize("value", ["a\"b'c\n\t\\ ü \u2028 \x00 \ud800", ["x", 'y"'], {"a": 1.5, "b": True, "c": None}])
def test_a_literal_is_the_value_in_python(value):
    assert eval(literal(value)) == value  # noqa: S307 - our own code


def test_fine_tuning_asks_before_and_after_and_draws_the_loss(tuning):
    tuning.calls.value = 3
    press(tuning, "Fine-tune")
    assert tuning.answers["Who?", "before"].startswith("echo:")
    assert tuning.answers["Who?", "after"].endswith("Me!")
    assert tuning.losses == [10.0, 5.0, pytest.approx(10 / 3)]
    assert "3 calls, from 10.00 down to 3.333" in tuning._plot.value
    assert (tuning._progress.value, tuning._progress.max) == (3, 3)
    assert "Done: 3 of 3" in tuning._status.value


def test_more_calls_go_on_where_the_last_ended_and_another_adapter_starts_anew(tuning):
    press(tuning, "Fine-tune")
    press(tuning, "Fine-tune")
    assert len(tuning.losses) == 2
    press(tuning, "Create adapter")
    press(tuning, "Ask")
    assert tuning.losses == []
    assert list(tuning.answers) == [("Who?", "before")]


def test_a_loss_of_zero_can_be_drawn(tuning):
    tuning._add_loss(0.0)
    assert "<img alt=" in tuning._plot.value


def test_stop_ends_after_the_call_that_runs(tuning, engine):
    engine.tune_seconds = 0.2
    tuning.calls.value = 20
    tuning._tune.click()
    wait_until(lambda: len(engine.tunings) >= 2)
    tuning._stop.click()
    tuning.wait(10)
    assert 2 <= len(engine.tunings) <= 3
    assert f"Stopped: {len(engine.tunings)} of 20" in tuning._status.value
    assert tuning._stop.disabled
    assert not tuning._tune.disabled


def test_a_second_click_while_busy_does_nothing(tuning, engine):
    engine.tune_seconds = 0.2
    tuning._tune.click()
    assert tuning._tune.disabled
    tuning._tune.click()
    tuning.wait(10)
    assert len(engine.tunings) == 1


def test_a_call_that_fails_is_said_with_its_number_and_the_losses_before_it_stay(tuning, engine):
    press(tuning, "Fine-tune")
    tuning.samples._rows[0][1].value = "NaN"
    assert "fine_tune call 1 of 1: " in refused(tuning, "Fine-tune")
    assert len(tuning.losses) == 1
    tuning.samples._rows[0][1].value = "Me!"
    press(tuning, "Fine-tune")
    assert len(tuning.losses) == 2


def test_answers_only_leaves_the_question_without_a_loss(tuning, engine):
    tuning.samples.train_on.value = ANSWERS_ONLY
    press(tuning, "Fine-tune")
    ((sample,), _) = engine.tunings[0]
    assert [part.trainable for part in sample.parts] == [False, True]


def test_rows_can_be_added_and_left_empty_and_half_a_row_is_refused(tuning, engine):
    press_row = next(widget for widget in everything_in(tuning) if getattr(widget, "description", "") == "Add a row")
    for _ in range(2):
        press_row.click()
    question, answer = tuning.samples._rows[1]
    question.value = "What?"
    assert "Row 2 has no answer" in refused(tuning, "Fine-tune")
    answer.value = "That"
    press(tuning, "Fine-tune")
    assert len(engine.tunings[0][0]) == 2


def test_a_file_is_previewed_trained_on_and_its_errors_named(tuning, engine):
    tuning.samples.source.value = UPLOADED
    assert "no sample yet" in refused(tuning, "Fine-tune")
    upload(tuning, "bad.csv", b"question,answer\nWho?,\n")
    assert "line 2: its answer is empty" in tuning.samples._preview.value
    upload(tuning, "good.csv", b"question,answer\n" + b"<i>?,Me\n" * 7)
    assert "7 samples in good.csv, the first 5 of them" in tuning.samples._preview.value
    assert "&lt;i&gt;?" in tuning.samples._preview.value
    assert "UTF-8" not in tuning.samples._preview.value
    upload(tuning, "old.csv", b"question;answer\r\nO\xf9?;L\xe0\r\n")
    assert "1 samples in old.csv. It is not in UTF-8" in tuning.samples._preview.value
    upload(tuning, "good.csv", b"question,answer\n" + b"<i>?,Me\n" * 7)
    press(tuning, "Fine-tune")
    assert len(engine.tunings[0][0]) == 7


@pytest.mark.parametrize("answers_only", [False, True])
def test_the_code_of_a_fine_tune_does_what_the_form_does(gradient, tuning, engine, capsys, answers_only):
    tuning.samples.train_on.value = ANSWERS_ONLY if answers_only else tuning.samples.train_on.value
    tuning.calls.value = 2
    press(tuning, "Fine-tune")
    clicked = engine.tunings[0][0]
    output = ran(tuning.code, capsys)
    assert output.splitlines()[-1].endswith("Me!")
    assert [samples for samples, _ in engine.tunings] == [clicked] * 4


def test_the_code_makes_the_adapter_that_is_described_when_there_is_none(gradient, engine, capsys):
    form = forms.fine_tune_form(gradient, "Who?", "Me!", name="from code")
    form.adapter.rank.value, form.adapter.learning_rate.value = 4, 0.01
    ran(form.code, capsys)
    press(form.adapter.picker, "Refresh")
    assert form.value.name == "from code"
    assert (engine.tunings[0][1].rank, engine.tunings[0][1].learning_rate) == (4, 0.01)


def test_a_new_adapter_is_offered_before_those_that_are_there(gradient, base, engine):
    lessons = [base.create_model_adapter(name=f"lesson 3, {number}") for number in range(2)]
    form = forms.fine_tune_form(gradient, "Who?", "Me!", name="mine")
    assert form.value is None
    assert "Create adapter" in form.adapter.picker.choice.label
    assert "create_model_adapter" in form.code
    for button in ("Fine-tune", "Ask", "Delete adapter"):
        assert "No adapter is chosen" in refused(form, button)
    press(form.adapter.picker, "Refresh")
    assert form.value is None
    press(form, "Create adapter")
    press(form, "Fine-tune")
    assert form.value.name == "mine"
    press(form.adapter.picker, "Refresh")
    assert form.value.name == "mine"
    assert len(engine.tunings) == 1
    form.adapter.picker.choice.value = lessons[0].id
    assert form.value.name == "lesson 3, 0"


def test_deleting_chooses_no_other_adapter(gradient, base, tuning):
    base.create_model_adapter(name="not to be taught by mistake")
    press(tuning, "Delete adapter")
    press(tuning, "Really delete?")
    assert tuning.value is None


def test_deleting_asks_once_more(gradient, tuning):
    adapter = tuning.value
    press(tuning, "Delete adapter")
    assert adapter.id in [model.id for model in gradient.list_models(only_base=False)]
    press(tuning, "Really delete?")
    assert adapter.id not in [model.id for model in gradient.list_models(only_base=False)]
    assert tuning.value is None


def test_another_choice_takes_the_question_back(tuning):
    press(tuning, "Delete adapter")
    press(tuning, "Create adapter")
    assert tuning.adapter.delete_button.description == "Delete adapter"
    assert len(tuning.adapter.picker.adapters) == 2


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [("name", " ", "no name"), ("learning_rate", 1.0, "below 1"), ("learning_rate", 0.0, "above 0")],
)
def test_a_new_adapters_fields_are_checked(gradient, field, value, said):
    form = forms.fine_tune_form(gradient)
    getattr(form.adapter, field).value = value
    assert said in refused(form, "Create adapter")


def test_a_form_for_a_service_that_is_not_there_says_so_and_recovers(gradient, monkeypatch):
    configuration = gradient._api_client.configuration
    there = configuration.host
    monkeypatch.setattr(configuration, "host", "http://127.0.0.1:9/api")
    form = forms.completion_form(gradient)
    assert "Nothing answers" in form.picker._status.value
    assert "no model to ask" in refused(form, "Complete")
    monkeypatch.setattr(configuration, "host", there)
    press(form.picker, "Refresh")
    press(form, "Complete")
    assert form.value is not None


def test_running_a_cell_again_closes_the_form_of_the_last_run_and_ends_its_work(gradient, monkeypatch, engine):
    class Shell:
        parent_header = {"metadata": {"cellId": "this cell"}, "header": {"msg_id": "first run"}}

    monkeypatch.setattr("IPython.get_ipython", lambda: Shell)
    engine.tune_seconds = 0.2
    old = forms.fine_tune_form(gradient, "Who?", "Me!")
    press(old, "Create adapter")
    old.calls.value = 50
    old._tune.click()
    Shell.parent_header = {"metadata": {"cellId": "this cell"}, "header": {"msg_id": "second run"}}
    new = forms.fine_tune_form(gradient, "Who?", "Me!")
    old.wait(10)
    assert old.comm is None
    assert all(widget.comm is None for widget in everything_in(old))
    assert len(engine.tunings) < 5
    press(new, "Create adapter")
    assert new.layout.comm is not None


@pytest.mark.parametrize("make", [forms.model_picker, forms.completion_form, forms.fine_tune_form])
def test_the_repr_is_constant_so_that_a_notebook_can_be_compared(gradient, make):
    form = make(gradient)
    assert repr(form) == f"{type(form).__name__}: run this cell to show the form"


@pytest.mark.parametrize(
    ("field", "given", "kept", "said"),
    [
        ("temperature", 3, 2, "Temperature goes from 0 to 2: 3 became 2."),
        ("temperature", -1, 0, "Temperature goes from 0 to 2: -1 became 0."),
        ("temperature", float("nan"), 0, "Temperature goes from 0 to 2: nan became 0."),
        ("temperature", float("inf"), 2, "Temperature goes from 0 to 2: inf became 2."),
        ("max_tokens", 600, 511, "Max tokens goes from 1 to 511: 600 became 511."),
        ("max_tokens", 0, 1, "Max tokens goes from 1 to 511: 0 became 1."),
        ("top_p", 1.5, 1, "Top-p goes from 0 to 1: 1.5 became 1."),
        ("top_k", 2_000_000, 1_000_000, "Top-k goes from 0 to 1000000: 2000000 became 1000000."),
    ],
)
def test_a_number_out_of_range_is_changed_and_said(completion, engine, field, given, kept, said):
    getattr(completion, field).value = given
    assert getattr(completion, field).value == kept
    assert said in completion._status.value
    press(completion, "Complete")
    assert len(engine.requests) == 1


def test_a_number_out_of_range_is_said_when_it_is_typed_too(completion):
    completion.temperature.set_state({"value": 3})  # as the browser sends it
    assert completion.temperature.value == 2
    assert "3 became 2" in completion._status.value


def test_the_fine_tune_form_says_what_it_changed(tuning):
    tuning.calls.value = 99
    assert (tuning.calls.value, "fine_tune calls goes from 1 to 50: 99 became 50." in tuning._status.value) == (
        50,
        True,
    )
    tuning.adapter.rank.value = 64
    assert (tuning.adapter.rank.value, "Rank goes from 1 to 32: 64 became 32." in tuning._status.value) == (32, True)


def test_a_temperature_that_the_service_takes_is_taken_everywhere(completion, gradient, base, engine):
    for temperature in (0.0, 1.5, float(MAX_TEMPERATURE)):
        engine.requests.clear()
        completion.temperature.value = temperature
        press(completion, "Complete")
        GradientLLM(model=base.id).invoke("x", temperature=temperature)
        base.complete(query="x", temperature=temperature)
        assert [request.temperature for request, *_ in engine.requests] == [temperature] * 3
    beyond = MAX_TEMPERATURE + 0.1
    with pytest.raises(ValueError, match="temperature has to be a number from 0 to 2"):
        GradientLLM(model=base.id).invoke("x", temperature=beyond)
    with pytest.raises(ApiException):
        base.complete(query="x", temperature=beyond)


def test_nothing_to_ask_and_no_base_model_are_said(tuning):
    tuning.question.value = ""
    for question, answer in tuning.samples._rows:
        question.value = answer.value = ""
    assert "There is nothing to ask" in refused(tuning, "Ask")
    tuning.adapter.picker.bases = []
    assert "There is no base model yet" in refused(tuning, "Create adapter")
