"""The blocks on the real model, over the sets of `block_sets.py`: the floors are a little under what was measured."""

from __future__ import annotations

import re

import pytest
from gradientai import ExtractParamsSchemaValueType, SummarizeParamsLength

from tests.real.block_sets import DOCUMENTS, EXTRACTIONS, PERSONAL, QUESTIONS, SENTIMENTS

pytestmark = pytest.mark.model


@pytest.fixture
def gradient(real_service):
    return real_service.gradient("blocks")


def test_most_questions_are_answered_by_the_sentence_that_answers_them(gradient):
    known = [(document, question, right) for document, question, right in QUESTIONS if right is not None]
    found = [gradient.answer(question=q, source={"type": "document", "value": d})["answer"] for d, q, _ in known]
    right = [any(one in said.lower() for one in wanted) for said, (_, _, wanted) in zip(found, known, strict=True)]
    print(f"{sum(right)} of {len(known)}", [q for (_, q, _), ok in zip(known, right, strict=True) if not ok])
    assert sum(right) >= 16


def test_most_sentiments_are_right(gradient):
    found = [gradient.analyze_sentiment(document=text)["sentiment"] for text, _ in SENTIMENTS]
    right = sum(said == wanted for said, (_, wanted) in zip(found, SENTIMENTS, strict=True))
    print(f"{right} of {len(SENTIMENTS)}")
    assert right >= 19


def test_most_fields_are_found_and_few_are_wrong(gradient):
    right = wrong = total = 0
    for document, fields, wanted in EXTRACTIONS:
        schema = {
            name: {"type": ExtractParamsSchemaValueType(kind), "required": False} for name, kind in fields.items()
        }
        found = gradient.extract(document=document, schema_=schema)["entity"]
        same = [name for name in fields if found.get(name) == wanted.get(name)]
        right, total = right + len(same), total + len(fields)
        wrong += sum(name in found for name in fields if name not in same)
        print({name: found.get(name) for name in fields if name not in same}, document[:50])
    print(f"{right} of {total}, {wrong} wrong values")
    assert right >= 0.8 * total


def test_every_document_is_summarised_in_three_lengths(gradient):
    for document in DOCUMENTS:
        short, medium, long = (
            gradient.summarize(document=document, length=SummarizeParamsLength(length))["summary"]
            for length in ("short", "medium", "long")
        )
        print(short)
        assert len(short) < len(medium) < len(long) <= len(document)


def test_a_text_for_an_audience_has_no_number_that_the_text_has_not(gradient):
    for document, audience in PERSONAL:
        said = gradient.personalize(document=document, audience_description=audience)["personalized_document"]
        print(audience, "|", said)
        assert set(re.findall(r"\d+", said)) <= set(re.findall(r"\d+", document))
