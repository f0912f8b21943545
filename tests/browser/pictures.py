"""`python -m tests.browser.pictures`: clicks through each form in JupyterLab, on the real engine, and keeps a picture.

A page that can't have the form itself, on GitHub or before its cell has run, shows the picture. It carries the form's
outline, by which a test sees that the form has changed since.
"""

from __future__ import annotations

import io
import os
import re
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from gradientai import Gradient
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from helpers.forms.form import PICTURES
from tests.browser.lab import Lab, NotebookPage, expect, field, launch, press, status, type_number
from tests.stub.clicks import PROMPT, QUESTION, RIGHT
from tests.stub.plugin import serving
from tests.stub.record import real_engine
from tests.support.form_outlines import KEY, outline, pictured

COLOURS = 64  # of a picture: text and thin lines need no more, and the file is a third of what it was
PAGE = {"width": 1150, "height": 1700}
SECONDS = 60
START = "from helpers import connect, forms\ngradient = connect()\nbase = gradient.list_models(only_base=True)[-1]"
CELLS = {
    "ConnectForm": "forms.connect_form()",
    "ModelPicker": "forms.model_picker(gradient)",
    "CompletionForm": f"forms.completion_form(gradient, {PROMPT!r})",
    "SamplingForm": "forms.sampling_form(base)",
    "FineTuneForm": f"forms.fine_tune_form(gradient, {QUESTION!r}, {RIGHT!r})",
}


def connect(form) -> None:
    field(form, "local service").check()
    press(form, "Show code")
    expect(form.locator("pre")).to_contain_text("connect()")


def complete(form) -> None:
    press(form, "Complete")
    expect(form.locator(".gradient-card")).to_have_count(1)
    type_number(form, "Max tokens", "4")
    press(form, "Complete")
    expect(form.locator(".gradient-card")).to_have_count(2)


def sample(form) -> None:
    press(form, "What comes next?")
    expect(form.locator("img")).to_have_count(1)


def fine_tune(form) -> None:
    press(form, "Create adapter")
    expect(status(form)).to_contain_text("Made the adapter")
    type_number(form, "fine_tune calls", "2")
    press(form, "Fine-tune")
    expect(status(form)).to_have_text(re.compile("Done: 2 of 2"))


CLICKS: dict[str, Callable] = {
    "ConnectForm": connect,
    "CompletionForm": complete,
    "SamplingForm": sample,
    "FineTuneForm": fine_tune,
}


def take(page, lab: Lab, name: str) -> bytes:
    """A form's picture, after some clicks."""
    form = NotebookPage.of_cells(page, lab, f"{name}.ipynb", START, CELLS[name]).form()
    if name in CLICKS:
        CLICKS[name](form)
    page.mouse.click(0, 0)  # no field with a cursor in it
    return form.screenshot(animations="disabled")


def keep(png: bytes, name: str, number: str) -> None:
    """Writes a picture with fewer colours, and the form's outline in it."""
    about = PngInfo()
    about.add_text(KEY, number)
    PICTURES.mkdir(exist_ok=True)
    with Image.open(io.BytesIO(png)) as picture:
        picture.convert("RGB").quantize(COLOURS).save(PICTURES / f"{name}.png", optimize=True, pnginfo=about)


def main() -> int:
    """Takes all of them."""
    from playwright.sync_api import sync_playwright

    with (
        tempfile.TemporaryDirectory(prefix="gradient-pictures-", ignore_cleanup_errors=True) as folder,
        sync_playwright() as playwright,
        serving(real_engine()),
    ):
        outlines = {name: outline(form) for name, form in pictured(Gradient()).items()}
        pages = Path(folder) / "pages"
        pages.mkdir()
        lab = Lab(pages, dict(os.environ))
        browser = launch(playwright)
        expect.set_options(timeout=SECONDS * 1000)
        for name in CELLS:
            page = browser.new_page(viewport=PAGE)
            keep(take(page, lab, name), name, outlines[name])
            page.close()
            print(f"{name}: {(PICTURES / f'{name}.png').stat().st_size / 1000:.0f} kB", flush=True)
        browser.close()
        lab.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
