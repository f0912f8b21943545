"""The forms as a person uses them: in JupyterLab, in Chromium, by mouse and by keyboard, against the stub."""

from __future__ import annotations

import json
import re

import pytest

from tests.browser.lab import alert, choose_file, expect, field, press, status, type_number
from tests.stub.clicks import CHOICES, CSV, CSV_NAME, CSV_QUESTION, PROMPT, QUESTION, REVIEW, RIGHT

pytestmark = pytest.mark.browser
SLOW = 0.7  # seconds over a fine-tune: long enough to be clicked at
SECRET = "a-secret-that-no-file-may-hold"
CONNECT = "from helpers import connect, forms\ngradient = connect()"
COMPLETION = f"form = forms.completion_form(gradient, {PROMPT!r})\nform"
FINE_TUNE = f"form = forms.fine_tune_form(gradient, {QUESTION!r}, {RIGHT!r})\nform"
LESSONS = ["01_setup.ipynb", "02_chaining.ipynb", "03_fine_tuning.ipynb"]


@pytest.mark.parametrize("name", LESSONS)
def test_every_lesson_runs_in_the_browser_and_every_form_and_picture_has_its_labels(lesson, name):
    notebook = lesson(name)
    counts = [notebook.prompt(number) for number in range(notebook.page.locator(".jp-CodeCell").count())]
    assert all(count.isdigit() for count in counts)
    assert notebook.page.locator(".gradient-form").count() >= 1
    unlabelled = """() => [...document.querySelectorAll('.gradient-form :is(input:not([type=file]), select, textarea)')]
        .filter(field => ![...field.labels].some(label => label.innerText.trim())).map(field => field.outerHTML)"""
    assert notebook.page.evaluate(unlabelled) == []
    pictures = notebook.page.evaluate("() => [...document.querySelectorAll('.jp-OutputArea img')].map(p => p.alt)")
    assert all(len(alt) > 20 for alt in pictures)


def test_connecting_by_clicks_in_lesson_1_keeps_the_token_off_the_page_and_out_of_the_file(lesson, stub):
    notebook = lesson("01_setup.ipynb")
    form = notebook.form()
    expect(field(form, "own endpoint")).to_be_checked()
    assert field(form, "URL").input_value() == stub.server.url
    press(form, "Test")
    expect(status(form)).to_have_text(re.compile(r"answers, in .* s: \d+ models in local_workspace"))
    press(form, "Connect")
    expect(status(form)).to_have_text(f"Connected to the local Gradient service at {stub.server.url}, "
                                      "workspace local_workspace.")  # fmt: skip
    field(form, "Token").fill(SECRET)
    assert SECRET not in notebook.save()
    press(form, "Connect")
    expect(alert(form)).to_contain_text("The access token is not the one of this service")
    assert field(form, "Token").input_value() == ""
    assert SECRET not in notebook.page.content()
    saved = notebook.save()
    assert SECRET not in saved
    assert "widget-state" in saved, "the state of widgets is saved here, and has no token in it"
    notebook.screenshot(form, "connect-light")


def test_the_local_service_is_offered_and_tested_without_being_started(cells):
    notebook = cells("from helpers import forms\nform = forms.connect_form()\nform")
    form = notebook.form()
    field(form, "local service").check()
    expect(field(form, "URL")).to_have_count(0)
    press(form, "Test")
    expect(status(form)).to_have_text("The local service is not running: Connect starts it.")
    press(form, "Show code")
    expect(form.locator("pre")).to_contain_text("gradient = connect()")
    field(form, "own endpoint").check()
    expect(form.locator("pre")).to_contain_text("connect(hosted=True)")
    field(form, "URL").fill("http://127.0.0.1:9/api")
    press(form, "Connect")
    expect(alert(form)).to_contain_text("Nothing answers at http://127.0.0.1:9/api")
    expect(form.get_by_role("button", name="Connect", exact=True)).to_be_enabled()


def test_completing_by_clicks_in_lesson_2(lesson):
    notebook = lesson("02_chaining.ipynb")
    form = notebook.form()
    expect(form).to_contain_text("SmolLM2-135M-Instruct")
    press(form, "Complete")
    card = form.locator(".gradient-card")
    expect(card.first).to_contain_text("New England Patriots")
    expect(card.first).to_contain_text(re.compile(r"finish_reason stop, \d+\.\d\d s"))
    type_number(form, "Max tokens", "4")
    press(form, "Complete")
    expect(card).to_have_count(2)
    expect(card.first).to_contain_text("finish_reason length")
    boxes = [card.nth(number).bounding_box() for number in (0, 1)]
    assert boxes[0]["y"] == boxes[1]["y"], "answers are side by side"
    field(form, "Prompt").fill(REVIEW)
    field(form, "Choices").fill(CHOICES)
    press(form, "Complete")
    expect(card.first.locator("strong")).to_have_text("negative")
    notebook.screenshot(form, "complete-light")
    press(form, "Clear answers")
    expect(card).to_have_count(0)


def test_the_shown_code_follows_the_fields_and_runs_when_pasted(cells):
    notebook = cells(CONNECT, COMPLETION, "exec(form.code)")
    form = notebook.form()
    press(form, "Show code")
    code = form.locator("pre")
    expect(code).to_contain_text("max_generated_token_count=32)")
    type_number(form, "Max tokens", "4")
    field(form, "Chat template (auto_template)").check()
    expect(code).to_contain_text("max_generated_token_count=4, auto_template=True)")
    printed = notebook.page.locator(".jp-CodeCell").nth(2).locator(".jp-OutputArea-output")
    expect(printed).to_contain_text("New England Patriots")
    press(form, "Hide code")
    expect(code).to_have_count(0)


def test_an_error_is_a_sentence_in_the_form_and_the_form_goes_on(cells):
    form = cells(CONNECT, COMPLETION).form()
    field(form, "Prompt").fill("")
    press(form, "Complete")
    expect(alert(form)).to_have_text("The prompt is empty: write what the model should continue.")
    field(form, "Prompt").fill("Never recorded")
    press(form, "Complete")
    expect(alert(form)).to_contain_text("has no recording of this request")
    field(form, "Prompt").fill(PROMPT)
    press(form, "Complete")
    expect(form.locator(".gradient-card")).to_have_count(1)
    expect(alert(form)).to_have_count(0)


def test_the_keyboard_is_enough(cells):
    notebook = cells(CONNECT, COMPLETION)
    form, keyboard = notebook.form(), notebook.page.keyboard
    field(form, "Prompt").focus()
    for _ in range(20):
        keyboard.press("Tab")
        if notebook.page.evaluate("() => document.activeElement.innerText") == "Complete":
            break
    keyboard.press("Enter")
    expect(form.locator(".gradient-card")).to_contain_text("New England Patriots")


def test_fine_tuning_by_clicks_in_lesson_3_turns_the_wrong_answer_into_the_right_one(lesson, stub):
    notebook = lesson("03_fine_tuning.ipynb")
    form = notebook.form()
    press(form, "Fine-tune")
    expect(alert(form)).to_contain_text("press Create adapter")  # the lesson's own adapter is not offered first
    press(form, "Create adapter")
    expect(status(form)).to_contain_text("Made the adapter lesson 3, by clicks")
    press(form, "Ask")
    answers = form.locator("table").last.locator("td")
    expect(answers.nth(0)).to_contain_text("New England Patriots")
    press(form, "Fine-tune")
    expect(status(form)).to_have_text("Done: 1 of 1 fine_tune calls.")
    expect(answers.nth(0)).to_contain_text("New England Patriots")
    expect(answers.nth(1)).to_have_text(RIGHT)
    type_number(form, "fine_tune calls", "2")
    press(form, "Fine-tune")
    expect(status(form)).to_have_text("Done: 2 of 2 fine_tune calls.")
    expect(form.locator("img")).to_have_attribute("alt", re.compile(r"3 calls, from 2\.\d\d down to 0\.00\d"))
    press(form, "Show code")
    expect(form.locator("pre")).to_contain_text("adapter.fine_tune(samples=samples)")
    notebook.screenshot(form, "fine-tune-light")
    press(form, "Delete adapter")
    expect(status(form)).to_contain_text("press again to delete it")
    press(form, "Really delete?")
    expect(status(form)).to_contain_text("Deleted lesson 3, by clicks")


def test_a_double_click_does_the_work_once_and_stop_ends_it_after_the_call_that_runs(cells, stub, monkeypatch):
    monkeypatch.setattr(stub.engine, "tune_seconds", SLOW)
    form = cells(CONNECT, FINE_TUNE).form()
    press(form, "Create adapter")
    expect(status(form)).to_contain_text("Made the adapter")
    before = stub.engine.tunings
    type_number(form, "fine_tune calls", "4")
    form.get_by_role("button", name="Fine-tune", exact=True).dblclick()
    expect(status(form)).to_have_text("fine_tune call 2 of 4…")
    expect(form.get_by_role("button", name="Fine-tune", exact=True)).to_be_disabled()
    press(form, "Stop")
    expect(status(form)).to_have_text(re.compile(r"Stopped: [23] of 4 fine_tune calls\."))
    expect(form.locator("table td").last).to_have_text(RIGHT)
    assert stub.engine.tunings - before in (2, 3)


def test_samples_come_from_a_file_with_a_preview_and_line_numbered_errors(cells, tmp_path):
    form = cells(CONNECT, FINE_TUNE).form()
    press(form, "Create adapter")
    field(form, "from a file").check()
    bad, good = tmp_path / "bad.csv", tmp_path / CSV_NAME
    bad.write_text("question,answer\nWho?,Me\nWhat?,\n", encoding="utf-8")
    good.write_text(CSV, encoding="utf-8")
    choose_file(form, bad)
    expect(alert(form)).to_have_text("bad.csv, line 3: its answer is empty.")
    choose_file(form, good)
    expect(form).to_contain_text("2 samples in two.csv")
    expect(form.locator("td").first).to_have_text(CSV_QUESTION)
    field(form, "answers only").check()
    field(form, "Question to ask").fill(CSV_QUESTION)
    press(form, "Fine-tune")
    expect(status(form)).to_have_text("Done: 1 of 1 fine_tune calls.")
    expect(form.locator("table").last.locator("td").last).to_contain_text("Bosun")


def test_a_form_that_is_shown_twice_works_once_and_one_that_is_run_again_replaces_the_old(cells):
    notebook = cells(CONNECT, COMPLETION, "form")
    first, second = notebook.form(0), notebook.form(1)
    press(second, "Complete")
    for form in (first, second):
        expect(form.locator(".gradient-card")).to_have_count(1)
    notebook.run_cell(1)
    expect(notebook.page.locator(".gradient-card")).to_have_count(0)
    press(notebook.form(0), "Complete")
    expect(notebook.form(0).locator(".gradient-card")).to_have_count(1)


def test_a_service_that_dies_is_said_in_the_form(cells, start_lab, tmp_path):
    from tests.browser.conftest import Stub

    mortal = Stub(tmp_path)
    mortal.engine.tune_seconds = SLOW
    form = cells(CONNECT, FINE_TUNE, lab=start_lab(mortal.environment)).form()
    press(form, "Create adapter")
    expect(status(form)).to_contain_text("Made the adapter")
    type_number(form, "fine_tune calls", "4")
    press(form, "Fine-tune")
    expect(status(form)).to_have_text("fine_tune call 2 of 4…")
    mortal.server.stop()
    expect(alert(form)).to_contain_text(re.compile(r"fine_tune call \d of 4: Nothing answers at .*connect\(\)"))
    expect(form.get_by_role("button", name="Fine-tune", exact=True)).to_be_enabled()


CONTRAST = """form => {
    const rgb = color => (color.match(/[\\d.]+/g) || []).map(Number);
    const light = ([r, g, b]) => [r, g, b].map(v => v / 255)
        .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
        .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
    const behind = element => {
        for (; element; element = element.parentElement) {
            const color = rgb(getComputedStyle(element).backgroundColor);
            if (color.length === 3 || color[3] > 0) return color;
        }
        return [255, 255, 255];
    };
    const read = 'label, button, p, pre, td, th, strong, span.gradient-quiet, input, textarea';
    const texts = [...form.querySelectorAll(read)]
        .filter(element => !element.disabled && (element.innerText || element.value || '').trim());
    return texts.map(element => {
        const [a, b] = [light(rgb(getComputedStyle(element).color)), light(behind(element))];
        return [(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), element.outerHTML.slice(0, 120)];
    }).sort((one, other) => one[0] - other[0]);
}"""


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_text_of_a_form_can_be_read_in_both_themes(cells, theme):
    """Contrast of at least 3 to 1, WCAG 2.1's least for controls; JupyterLab's own buttons have no more."""
    notebook = cells(CONNECT, "forms.connect_form()", COMPLETION, FINE_TUNE)
    if theme == "dark":
        notebook.dark()
    complete, tune = notebook.form(1), notebook.form(2)
    press(complete, "Complete")
    expect(complete.locator(".gradient-card")).to_have_count(1)
    press(complete, "Show code")
    field(complete, "Prompt").fill("")
    press(complete, "Complete")
    expect(alert(complete)).to_have_count(1)
    press(tune, "Create adapter")
    expect(status(tune)).to_contain_text("Made the adapter")
    press(tune, "Fine-tune")
    expect(tune.locator("table td").last).to_have_text(RIGHT)
    press(tune, "Show code")
    for form, name in ((notebook.form(0), "connect"), (complete, "complete"), (tune, "fine-tune")):
        worst, element = form.evaluate(CONTRAST)[0]
        assert worst >= 3, (round(worst, 2), element)
        notebook.screenshot(form, f"{name}-{theme}-whole")


def test_a_notebook_that_was_saved_holds_no_token_of_the_environment(cells, stub):
    notebook = cells(CONNECT, "forms.connect_form()", COMPLETION)
    press(notebook.form(0), "Connect")
    expect(status(notebook.form(0))).to_contain_text("Connected")
    press(notebook.form(1), "Show code")
    saved = notebook.save()
    assert json.loads(saved)["metadata"]["widgets"]
    assert stub.environment["GRADIENT_ACCESS_TOKEN"] not in saved
