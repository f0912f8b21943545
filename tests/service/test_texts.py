"""How texts are put before they become tokens: Llama's special tokens, spaces, and the end of a sample."""

from __future__ import annotations

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.service.engine import SamplePart
from helpers.service.local.texts import sample_parts, with_own_specials

END = "<|im_end|>"
EXAMPLES = int(os.environ.get("GRADIENT_TEST_EXAMPLES", "50"))
checked = settings(max_examples=EXAMPLES, derandomize=True, database=None, deadline=None)
pieces = st.lists(st.sampled_from(["<s>", "</s>", " ", "\n", "a", "é", "### Response:"]), max_size=12).map("".join)
parts = st.builds(SamplePart, pieces, st.booleans(), st.booleans())


@pytest.mark.parametrize(
    ("text", "own"),
    [
        ("<s>### Instruction:\nWho?", "### Instruction:\nWho?"),
        ("<s> ### Instruction:\nWho?", "### Instruction:\nWho?"),  # Llama makes the same tokens of both
        ("A badger.</s>", f"A badger.{END}"),
        ("<s>[INST] One [/INST] Two </s><s>[INST] Three [/INST]", f"[INST] One [/INST] Two {END}[INST] Three [/INST]"),
        ("a < s > b <S></S><s/>", "a < s > b <S></S><s/>"),
        ("<s>", ""),
    ],
)
def test_llamas_beginning_is_nothing_and_its_end_is_ours(text, own):
    assert with_own_specials(text, END) == own


@pytest.mark.parametrize(
    "text", ["<s>Q: Who? A: Me</s>", "Q: Who? A: Me</s>", "Q: Who? A: Me", f"<s>Q: Who? A: Me{END}"]
)
def test_a_sample_ends_once_however_it_is_written(text):
    assert "".join(part.text for part in sample_parts([SamplePart(text)], END)) == f"Q: Who? A: Me{END}"


def test_parts_keep_what_they_are_and_those_of_nothing_vanish():
    given_parts = [SamplePart("<s>", False), SamplePart("<s> Q: ", False), SamplePart("A</s>"), SamplePart("<s>")]
    assert sample_parts(given_parts, END) == [SamplePart("Q:", False), SamplePart(f" A{END}")]


def test_where_special_tokens_are_not_parsed_they_stay_text_and_the_sample_is_ended_all_the_same():
    part = SamplePart("<s>The tag </s> and <|im_end|>", parse_special_tokens=False)
    assert sample_parts([part], END) == [part, SamplePart(END)]


def test_a_sample_of_beginnings_alone_has_no_parts():
    assert sample_parts([SamplePart("<s>"), SamplePart("<s> ")], END) == []


@checked
@given(st.lists(parts, max_size=6))
def test_any_sample_ends_with_the_end_and_loses_nothing_but_its_marks(given_parts):
    made = sample_parts(given_parts, END)
    before = "".join(
        with_own_specials(part.text, END) if part.parse_special_tokens else part.text for part in given_parts
    )
    assert "".join(part.text for part in made) in (before, before + END)
    assert all(part.text for part in made)
    assert not made or (made[-1].text.endswith(END) and made[-1].parse_special_tokens)


@checked
@given(pieces)
def test_no_mark_of_llama_is_left_in_any_text(text):
    own = with_own_specials(text, END)
    assert "<s>" not in own
    assert own.count(END) == text.count("</s>")
