"""Samples from files: what is read, and what is said about each line that is wrong."""

from __future__ import annotations

import json

import pytest

from helpers.forms import samples
from helpers.forms.samples import Pair
from tests.support.notebooks import FOLDER

GOOD = [Pair("Who?", "Me"), Pair("What, then?", 'A "thing"')]
TEMPLATE = "Question: {question}\n\nAnswer: "


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.jsonl", '{"question": "Who?", "answer": "Me"}\n\n{"question": "What, then?", "answer": "A \\"thing\\""}'),
        (
            "a.JSONL",
            '\ufeff{"answer": "Me", "question": "Who?", "more": 1}\r\n'
            '{"question": "What, then?", "answer": "A \\"thing\\""}\r\n',
        ),  # fmt: skip
        ("a.csv", 'question,answer\nWho?,Me\n"What, then?","A ""thing"""\n'),
        ("a.csv", '\ufeffAnswer;Question\r\nMe;Who?\r\n"A ""thing""";What, then?\r\n'),
        ("a.csv", 'question\tnote\tanswer\nWho?\t\tMe\nWhat, then?\t\t"A ""thing"""'),
    ],
    ids=["jsonl", "jsonl from Windows", "csv", "csv with semicolons", "csv with tabs"],
)
def test_a_file_gives_its_pairs(name, text):
    assert samples.read_file(name, text.encode()) == GOOD


def test_the_lessons_own_data_set_is_one():
    pairs = samples.read_file("lumen_harbour.jsonl", (FOLDER / "data" / "lumen_harbour.jsonl").read_bytes())
    assert len(pairs) == 20


SPREADSHEET = 'question;answer;note\r\n"Où, ""là"";\r\noder da?";Über Spaß;\r\n;;\r\n\r\nWo?;Café;"a;b"\r\n;;\r\n'
READ = [Pair('Où, "là";\r\noder da?', "Über Spaß"), Pair("Wo?", "Café")]


@pytest.mark.parametrize(
    "content",
    [
        SPREADSHEET.encode("utf-8-sig"),
        SPREADSHEET.encode("cp1252"),
        SPREADSHEET.encode("utf-16"),
        f"sep=;\r\n{SPREADSHEET}".encode(),
        f"\r\n{SPREADSHEET}".encode(),
        SPREADSHEET.replace("question", '" Question "').replace("note", "").encode(),
    ],
    ids=["UTF-8", "Windows", "Unicode text", "told separator", "empty first line", "a column without a name"],
)
def test_what_a_spreadsheet_writes_is_read(content):
    assert samples.read_file("a.csv", content) == READ


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_every_separator_line_end_and_mark_is_read(separator, ends, encoding):
    table = [["question", "answer"], ['"Who; or, what\tis | it?"', "Zoë"], ["When?", "Now"]]
    text = "".join(separator.join(row) + ends for row in table)
    expected = [Pair("Who; or, what\tis | it?", "Zoë"), Pair("When?", "Now")]
    assert samples.read_file("a.csv", text.encode(encoding)) == expected


@pytest.mark.parametrize(
    ("text", "encoding"), [("Où? »Spaß« – “très”, 5 €", "cp1252"), ("é\rü", "mac_roman"), ("é, ü – €", "utf-8")]
)
def test_the_encoding_is_told_and_a_guess_is_said(text, encoding):
    content = f'question\tanswer\r"{text}"\tà\r'.replace("\r", "\r" if encoding == "mac_roman" else "\r\n").encode(
        encoding
    )
    (pair,) = samples.read_file("a.csv", content)
    assert pair.answer == "à"
    assert pair.question.split() == text.split()
    assert ("letters" in samples.reading_note("a.csv", content)) == (encoding != "utf-8")


@pytest.mark.parametrize("separator", [",", ";", "|"])
@pytest.mark.parametrize(
    ("head", "row"),
    [
        ("question,answer", "Who won, and why?,Me"),
        ("question,answer", "Who won?,Me, and you"),
        ("question,answer", "Who won, and why?,"),
        ("answer,question", "Me,Who won, and why?"),
        ("id,question,answer", "7,Who won, and why?,Me"),
        ("question,answer,note", "Who won, and why?,Me"),
        ("question,answer,note", "Who won, and why?,Me,sure"),
    ],
)
def test_a_text_that_was_cut_at_its_own_separator_is_refused_with_its_line(separator, head, row):
    text = "\n".join([head, "Q,A,B"[: 2 * head.count(",") + 1], row, ""]).replace(",", separator)
    with pytest.raises(ValueError, match="double quotes") as caught:
        samples.read_file("a.csv", text.encode())
    assert str(caught.value).startswith("a.csv, line 3: ")


def test_a_space_after_every_separator_is_no_cut():
    expected = [Pair("Who?", "Me")]
    assert samples.read_file("a.csv", b"question, answer\nWho?, Me\n") == expected
    assert samples.read_file("a.csv", b"question, answer, note\nWho?, Me, sure\n") == expected


def test_a_row_of_several_lines_is_named_by_its_first():
    with pytest.raises(ValueError, match="line 4: has no answer"):
        samples.read_file("a.csv", b'question,answer\n"a\nb",A\n"c\nd"\n')


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.jsonl", b'{"question": "Q", "answer": "A"}\nnonsense', "a.jsonl, line 2: is no JSON"),
        ("a.jsonl", b'{"question": "Q"}\n[1]', "line 1: has no answer; line 2: is no object"),
        ("a.jsonl", b'{"question": " ", "answer": "A"}', "line 1: its question is empty"),
        ("a.jsonl", b'{"question": "Q", "answer": ["A"]}', "line 1: its answer is no text"),
        *[
            (
                "a.jsonl",
                f'{{"question": "Q", "answer": "A"}}\n{line}'.encode(),
                f"line 2: has {word}, which is no number",
            )
            for word in ("NaN", "Infinity", "-Infinity", "1e999", "-1E+400")
            for line in (
                f'{{"question": "a", "answer": {word}}}',
                f'{{"question": {word}, "answer": "b"}}',
                f'{{"question": "a", "answer": "b", "score": [{{"of": {word}}}]}}',
            )
        ],
        ("a.jsonl", b"NaN", "line 1: has NaN"),
        ("a.jsonl", b'{"question": "Q", "answer": nan}', "line 1: is no JSON"),
        ("a.jsonl", b"[" * 100_000, "line 1: is no JSON"),
        ("a.jsonl", b"x\n" * 9, "and 4 lines more"),
        ("a.jsonl", b"\n\n", "has no samples"),
        ("a.jsonl", b'{"question": "\xff"}', "line 1: this is not UTF-8"),
        ("a.csv", b"question,answer\nQ,A\nQ\n", "line 3: has no answer"),
        ("a.csv", b"q,a\nQ,A\n", "line 1: the first line of a CSV file names its columns"),
        ("a.csv", b'question,answer\n"Q,A\n', "a.csv, line 2: "),
        ("a.csv", b"", "line 1: the first line"),
        ("a.csv", b"question,answer,answer\nQ,A,B\n", "line 1: the first line names the column answer twice"),
        ("a.csv", b"sep=;\nquestion;answer\nQ\n", "line 3: has no answer"),
        ("a.csv", "question,answer\né,ü\nö,".encode() + b"\xff", "line 3: this is not UTF-8"),
        ("a.xlsx", b"PK", "neither .jsonl nor .csv"),
        ("a.csv", b"x" * 1_000_001, "larger than 1 MB"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(name, content, said):
    with pytest.raises(ValueError, match=".") as caught:
        samples.read_file(name, content)
    assert said in str(caught.value)
    assert str(caught.value).endswith(".")


def test_numbers_are_learned_as_they_are_written_and_words_are_words():
    numbers = ("1.50", "-0", "1e3", "9" * 5000, "0.1")
    text = "\n".join(f'{{"question": "How much?", "answer": {number}}}' for number in numbers)
    assert [pair.answer for pair in samples.read_file("a.jsonl", text.encode())] == list(numbers)
    assert samples.read_file("a.jsonl", b'{"question": "What is it?", "answer": "NaN"}')[0].answer == "NaN"


def test_samples_train_on_all_or_on_the_answers_only():
    asked = "Question: Who?\n\nAnswer: "
    assert samples.to_samples(TEMPLATE, GOOD[:1], answers_only=False) == [{"inputs": f"{asked}Me"}]
    parts = [{"value": asked, "trainable": False}, {"value": "Me"}]
    assert samples.to_samples(TEMPLATE, GOOD[:1], answers_only=True) == [{"inputs": parts}]


@pytest.mark.parametrize("template", ["no hole", "{question} {question}", "{question} {answer}", "{question", "{}"])
def test_a_template_that_a_question_does_not_fit_is_refused(template):
    with pytest.raises(ValueError, match="template"):
        samples.to_samples(template, GOOD, answers_only=False)


def test_a_template_may_have_braces_that_are_text():
    (sample,) = samples.to_samples('{{"q": "{question}"}} ', GOOD[:1], answers_only=False)
    assert json.loads(sample["inputs"].removesuffix(" Me")) == {"q": "Who?"}


def test_no_samples_are_refused():
    with pytest.raises(ValueError, match="no sample yet"):
        samples.to_samples(TEMPLATE, [], answers_only=False)
