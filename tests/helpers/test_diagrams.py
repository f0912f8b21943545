"""The diagrams on the pages are those that the code draws, and say in words what they show."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from helpers.diagrams import DIAGRAMS, FOLDER

SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.parametrize("name", DIAGRAMS)
def test_a_diagram_is_what_the_code_draws(name):
    assert (FOLDER / name).read_text(encoding="utf-8") == DIAGRAMS[name](), "run `python -m helpers.diagrams`"


@pytest.mark.parametrize("name", DIAGRAMS)
def test_a_diagram_is_whole_and_says_what_it_shows(name):
    root = ElementTree.fromstring(DIAGRAMS[name]())
    assert len(root.findtext(f"{SVG}desc")) > 40
    width, height = int(root.get("width")), int(root.get("height"))
    for box in root.iter(f"{SVG}rect"):
        assert 0 <= int(box.get("x")) <= width - int(box.get("width"))
        assert 0 <= int(box.get("y")) <= height - int(box.get("height"))


def test_no_picture_lies_about_that_no_code_draws():
    assert {path.name for path in FOLDER.glob("*.svg")} == set(DIAGRAMS)
