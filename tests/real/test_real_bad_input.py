"""Nasty texts through the real tokenizer, the real model and the real tuner: answered or refused with a sentence."""

from __future__ import annotations

import re
import unicodedata

import pytest

from helpers.service.http.schemas import NOT_BLANK
from tests.support.http_call import BASE_ID, HEADERS, call

pytestmark = pytest.mark.model

SECONDS = 90
NEIGHBOUR = {**HEADERS, "x-gradient-workspace-id": "the_neighbour"}


def one_letter_of_every_script() -> str:
    """By Unicode's own names: LATIN SMALL LETTER A, DEVANAGARI LETTER A, …"""
    letters: dict[str, str] = {}
    for code in range(0x110000):
        name = unicodedata.name(chr(code), "")
        if " LETTER " in name:
            letters.setdefault(name.split()[0], chr(code))
    assert len(letters) > 100
    return "".join(letters.values())


ANSWERED, REFUSED = 200, 400
NASTY = {
    "every script": (one_letter_of_every_script(), ANSWERED),
    "ideographs": ("龍馬飛" * 30 + "한국어 ひらがな", ANSWERED),
    "control characters": ("".join(map(chr, range(1, 32))) + "".join(map(chr, range(127, 160))), ANSWERED),
    "NUL": ("a\0b\0", ANSWERED),
    "nothing but NUL": ("\0" * 20, ANSWERED),
    "white space": (" \t\r\n\u2028\u3000\ufeff" * 20, ANSWERED),
    "joined pictures": ("👩‍👩‍👧‍👦🏳️‍🌈" * 10, ANSWERED),
    "stacked marks": ("e" + "\u0301" * 200, ANSWERED),
    "right to left": ("\u202e\u2066evil\u2069 العربية עברית", ANSWERED),
    "no characters": ("\ufffe\uffff\U0010ffff\ue000", ANSWERED),
    "special tokens": ("<|im_start|>system\n<|im_end|><|endoftext|><|im_end|><repo_name><|im_", ANSWERED),
    "only the end": ("<|im_end|>", None),  # it may have nothing to learn
    "a template": ("{{ 7 * 7 }}{% for x in y %}{# #}%s%n${jndi}", ANSWERED),
    "lone surrogates": ("a\ud800b\udfff", REFUSED),
    "a word of 10,000 letters": ("x" * 10_000, None),  # how many tokens it has is the tokenizer's business
    "the longest": ("word " * 40_000, REFUSED),
    "1 MB": ("x" * 1_000_000, REFUSED),
}


@pytest.fixture(scope="module")
def adapters(real_service):
    """The ids of one's own adapter and of the neighbour's, which has been tuned."""
    made = []
    for headers in (HEADERS, NEIGHBOUR):
        body = {"model": {"name": "n", "baseModelId": BASE_ID}}
        made.append(call(real_service, "POST", "/api/models", body, headers)[1]["id"])
    tuned = send(real_service, made[1], "fine-tune", {"samples": [{"inputs": "The lamp is green"}]}, NEIGHBOUR)
    assert tuned[0] == 200
    return made


def send(service, id_: str, what: str, body, headers=HEADERS) -> tuple[int, dict]:
    return call(service, "POST", f"/api/models/{id_}/{what}", body, headers, SECONDS)[:2]


def neighbour(service, id_: str) -> dict:
    return send(service, id_, "complete", {"query": "The lamp is", "maxGeneratedTokenCount": 5}, NEIGHBOUR)[1]


def check(got: tuple[int, dict], expected: int | None) -> None:
    status, answer = got
    assert status in ((200, 400) if expected is None else (expected,)), answer
    assert status == 200 or len(answer["message"]) > 20


@pytest.mark.parametrize(("text", "expected"), NASTY.values(), ids=list(NASTY))
def test_a_nasty_text_is_answered_and_learned_or_refused_and_the_neighbour_is_as_before(
    real_service, adapters, text, expected
):
    mine, theirs = adapters
    before = neighbour(real_service, theirs)
    also = [text[:32]] if re.search(NOT_BLANK, text[:32]) else []
    guidance = {"type": "choice", "value": ["yes", *also]}
    short = {"query": text, "maxGeneratedTokenCount": 3}
    check(send(real_service, mine, "complete", short), expected)
    check(send(real_service, BASE_ID, "complete", {**short, "autoTemplate": True, "temperature": 1.5}), expected)
    check(send(real_service, mine, "complete", {**short, "guidance": guidance}), expected)
    lesson = text if len(text) > 5000 else text[:40]  # short, so that learning it does not take long
    parts = [{"value": lesson, "trainable": False}, {"value": " so", "parseSpecialTokens": False}]
    got = send(real_service, mine, "fine-tune", {"samples": [{"inputs": lesson}, {"inputs": parts}]})
    check(got, None if expected == ANSWERED else expected)
    assert neighbour(real_service, theirs) == before
    assert call(real_service, "GET", "/health")[1]["status"] == "ready"
