"""Refusals: below HTTP they say what is wrong, and HTTP knows a status and a type for each kind."""

from __future__ import annotations

import json

from helpers.service import refusals
from helpers.service.http.envelope import ANSWERS, HttpRefusal, error_response

KINDS = {
    kind
    for kind in vars(refusals).values()
    if isinstance(kind, type) and issubclass(kind, refusals.Refusal) and kind is not refusals.Refusal
}


def test_every_kind_has_a_status_and_a_type():
    assert set(ANSWERS) == KINDS
    assert all(400 <= status < 600 and type_ for status, type_ in ANSWERS.values())


def test_a_refusal_becomes_the_envelope_without_what_is_absent():
    response = error_response(refusals.UnknownAdapter("none\n"))
    body = json.loads(response.body)
    assert (response.status_code, set(body), body["type"]) == (404, {"message", "type"}, "unknownModelAdapter")
    assert r"'none\n'" in body["message"]
    assert json.loads(error_response(HttpRefusal(403, "no")).body) == {"message": "no"}


def test_a_busy_service_says_when_to_ask_again():
    response = error_response(refusals.Busy("later", retry_after_seconds=7))
    assert (response.status_code, response.headers["retry-after"]) == (503, "7")


def test_what_a_caller_sent_is_quoted_cut_and_ascii():
    assert refusals.quoted("a\nb\ud800") == r"'a\nb\ud800'"
    assert refusals.quoted("x" * 100, 10) == "'" + "x" * 9 + "…"
