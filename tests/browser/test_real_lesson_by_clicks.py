"""The third lesson on the real engine, by clicks alone: from the wrong answer to the right one, then twenty facts."""

from __future__ import annotations

import os
import re

import pytest

from tests.browser.lab import NotebookPage, choose_file, expect, field, press, status, type_number
from tests.conftest import TOKEN
from tests.stub.plugin import environment
from tests.support.notebooks import FOLDER

pytestmark = [pytest.mark.browser, pytest.mark.model]
SLOWEST = 240_000  # milliseconds for the longest wait: twenty facts on a busy machine
PARAPHRASE = "When was the Lumen Harbour library opened?"  # held out of the data set


def test_the_whole_lesson_by_clicks(page, start_lab, real_service):
    own = {"GRADIENT_ACCESS_TOKEN": TOKEN, "GRADIENT_WORKSPACE_ID": "by_clicks"}  # the cells before leave an adapter
    settings = {**environment(real_service.url, real_service.data), **own}
    notebook = NotebookPage(page, start_lab({**os.environ, **settings}), "03_fine_tuning.ipynb")
    page.set_default_timeout(SLOWEST)
    expect.set_options(timeout=SLOWEST)
    while notebook.page.locator(".gradient-form").count() == 0:
        page.get_by_role("button", name=re.compile("Run this cell and advance")).first.click()
        page.wait_for_timeout(300)
    form = notebook.form()
    press(form, "Create adapter")
    expect(status(form)).to_contain_text("Made the adapter")
    press(form, "Ask")
    before, after = (form.locator("table").last.locator("td").nth(number) for number in (0, 1))
    expect(before).not_to_be_empty()
    expect(before).not_to_contain_text("Dallas Cowboys")
    type_number(form, "fine_tune calls", "3")
    press(form, "Fine-tune")
    expect(status(form)).to_have_text("Done: 3 of 3 fine_tune calls.")
    expect(before).not_to_contain_text("Dallas Cowboys")
    expect(after).to_contain_text("Dallas Cowboys")
    first, last = re.search(r"from ([\d.]+) down to ([\d.]+)", form.locator("img").get_attribute("alt")).groups()
    assert float(first) > 10 * float(last)
    notebook.screenshot(form, "lesson-3-by-clicks")

    press(form, "Create adapter")
    field(form, "from a file").check()
    choose_file(form, FOLDER / "data" / "lumen_harbour.jsonl")
    expect(form).to_contain_text("20 samples in lumen_harbour.jsonl")
    field(form, "answers only").check()
    field(form, "Question to ask").fill(PARAPHRASE)
    type_number(form, "fine_tune calls", "1")
    press(form, "Fine-tune")
    expect(status(form)).to_have_text("Done: 1 of 1 fine_tune calls.")
    before, after = (form.locator("table").last.locator("td").nth(number) for number in (0, 1))
    expect(before).not_to_contain_text("1931")
    expect(after).to_contain_text("1931")
    notebook.screenshot(form, "lesson-3-twenty-facts-by-clicks")
    _delete_chosen(form)
    field(form, "Adapter").select_option(index=field(form, "Adapter").locator("option").count() - 1)  # the newest
    _delete_chosen(form)


def _delete_chosen(form) -> None:
    press(form, "Delete adapter")
    press(form, "Really delete?")
    expect(status(form)).to_contain_text("Deleted")
