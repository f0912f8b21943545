"""What uploaded files say: text in its encodings, PDFs, and one sentence for what is neither."""

from __future__ import annotations

import subprocess
import sys
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pypdf.errors import DependencyError

from helpers.service import documents, pdf
from helpers.service.refusals import CallerGone, UnreadableFile
from tests.service.test_bad_input import checked
from tests.support.pdfs import a_pdf

NEVER = threading.Event()
TEXT = "Käse kostet 3 € – schön.\nSecond line"


def text_of(name: str, content: bytes) -> str:
    return documents.text_of(name, content, NEVER)


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"], ids=["plain", "with a mark", "UTF-16", "Windows"]
)
def test_text_is_read_in_the_usual_encodings(encoding):
    assert text_of("notes.txt", TEXT.encode(encoding)) == TEXT


def test_big_endian_with_a_mark_is_read_and_line_ends_are_made_one():
    assert text_of("notes.md", b"\xfe\xff" + "a\r\nb\rc".encode("utf-16-be")) == "a\nb\nc"


def test_a_pdf_is_read_whatever_it_is_called():
    content = a_pdf("First page\nGouda is Dutch.", "Second page")
    for name in ("cheese.pdf", "cheese.txt", "CHEESE.PDF", "cheese"):
        text = text_of(name, content)
        assert "Gouda is Dutch." in text
        assert text.index("First page") < text.index("Second page")


UNREADABLE = {
    "empty": ("a.txt", b"", "empty"),
    "blank": ("a.txt", b"\xef\xbb\xbf \n\t", "empty"),
    "picture": ("a.png", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "no text"),
    "office": ("a.docx", b"PK\x03\x04\x14\0\x06\0", "no text"),
    "UTF-16 of half a character": ("a.txt", b"\xff\xfea\0b", "no text"),
    "no PDF": ("a.pdf", b"I am text", "no PDF"),
    "half a PDF": ("a.pdf", a_pdf("x" * 50)[:200], "broken"),
    "a PDF of pictures": ("a.pdf", a_pdf(""), "pictures"),
    "locked": ("a.pdf", a_pdf("secret", password="p"), "password"),
    "too long": ("a.txt", b"x " * documents.MAX_TEXT_CHARACTERS, "characters"),
}


@pytest.mark.parametrize(("name", "content", "said"), UNREADABLE.values(), ids=UNREADABLE)
def test_what_can_not_be_read_is_said_in_one_sentence(name, content, said):
    with pytest.raises(UnreadableFile, match=said) as refusal:
        text_of(name, content)
    assert refusal.value.message.isprintable()
    assert 20 < len(refusal.value.message) < 300


@checked
@given(st.binary(max_size=300), st.sampled_from(["a.txt", "a.md", "a", "\ud800.txt"]))
def test_any_bytes_are_text_or_refused(content, name):
    try:
        assert text_of(name, content).strip()
    except UnreadableFile as refusal:
        assert refusal.message.isprintable()


NAMES = {
    "/a/folder/notes.txt": "notes.txt",
    r"C:\a\folder\notes.txt": "notes.txt",
    "../../etc/passwd": "passwd",
    "zażółć 北京 🧀.md": "zażółć 北京 🧀.md",
    "a\0b\nc.txt": "abc.txt",
    "\ud800x": "x",
    "": "file",
    "..": "..",
    "/": "file",
}


@pytest.mark.parametrize(("given_name", "plain"), NAMES.items())
def test_a_name_has_no_folders_and_nothing_that_can_not_be_shown(given_name, plain):
    assert documents.plain_name(given_name) == plain


@checked
@given(st.text(st.characters(exclude_categories=()), max_size=400))
def test_any_name_becomes_one_that_can_be_kept(name):
    plain = documents.plain_name(name)
    plain.encode()
    assert 0 < len(plain) <= documents.MAX_NAME_CHARACTERS
    assert not set(plain) & set("/\\\0\n")


# --- PDFs


def test_pages_and_title_are_told():
    found = pdf.read(a_pdf("One", "Two\nlines", title="  Über Käse "), NEVER)
    assert (found.title, [page.text for page in found.pages]) == ("Über Käse", ["One", "Two\nlines"])
    assert pdf.read(a_pdf("One"), NEVER).title is None


def test_a_cipher_that_needs_another_package_counts_as_locked():
    class Document:
        def decrypt(self, _):
            raise DependencyError

    assert not pdf._opens_without_password(Document())


def test_a_pdf_that_anyone_may_read_is_read_though_it_is_encrypted():
    assert pdf.read(a_pdf("open to all", password=""), NEVER).pages[0].text == "open to all"


@pytest.fixture
def slow_reader(monkeypatch):
    """A reader that never answers."""
    started = []
    real = subprocess.Popen

    def sleeper(command, **settings):
        started.append(real([sys.executable, "-c", "import time; time.sleep(60)"], **settings))
        return started[-1]

    monkeypatch.setattr(subprocess, "Popen", sleeper)
    return started


def test_a_pdf_that_takes_too_long_is_given_up_and_its_process_ended(slow_reader, monkeypatch):
    monkeypatch.setattr(pdf, "READ_SECONDS", 0.2)
    with pytest.raises(UnreadableFile, match="not read after"):
        pdf.read(a_pdf("x"), NEVER)
    assert slow_reader[0].poll() is not None


def test_a_reading_that_no_one_waits_for_ends(slow_reader):
    given_up = threading.Event()
    threading.Timer(0.2, given_up.set).start()
    began = time.monotonic()
    with pytest.raises(CallerGone):
        pdf.read(a_pdf("x"), given_up)
    assert time.monotonic() - began < 30
    assert slow_reader[0].poll() is not None


def test_a_reader_that_dies_is_a_broken_pdf(monkeypatch):
    real = subprocess.Popen
    monkeypatch.setattr(
        subprocess, "Popen", lambda command, **settings: real([sys.executable, "-c", "1 / 0"], **settings)
    )
    with pytest.raises(UnreadableFile, match="broken"):
        pdf.read(a_pdf("x"), NEVER)


@checked
@given(st.binary(min_size=1, max_size=40), st.integers(0, 800))
def test_a_spoilt_pdf_is_read_or_refused(noise, at):
    content = a_pdf("Some text to be read", title="t")
    try:
        assert pdf.read(b"%PDF-" + content[5:at] + noise + content[at + len(noise) :], NEVER).pages
    except UnreadableFile as refusal:
        assert refusal.message.isprintable()
