"""What an uploaded file says: text and Markdown in the usual encodings, PDF by `pdf.py`. Called by `ingestion.py`."""

from __future__ import annotations

import codecs
import re
import threading
import unicodedata

from . import pdf
from .refusals import UnreadableFile, quoted

MAX_TEXT_CHARACTERS = 2_000_000  # of one file: some 700 pages
MAX_NAME_CHARACTERS = 256

_BYTE_ORDER_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_NEVER_IN_TEXT = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f]")


def plain_name(given: str) -> str:
    """A file's name without the folders before it, whichever system wrote them, and without what can't be shown."""
    name = re.split(r"[/\\]", given)[-1]
    name = "".join(letter for letter in name if unicodedata.category(letter) not in ("Cc", "Cs", "Zl", "Zp")).strip()
    return name[-MAX_NAME_CHARACTERS:] or "file"


def text_of(name: str, content: bytes, given_up: threading.Event) -> str:
    """The text of a file.

    Args:
        name: what it is called; only what is called .pdf, or begins as a PDF does, is read as one.
        content: its bytes.
        given_up: set when no one waits any more.

    Raises:
        UnreadableFile: it is no text and no PDF, has no text, or too much; the message says which.
        CallerGone: no one waits any more.
    """
    if name.lower().endswith(".pdf") or pdf.is_pdf(content):
        text = "\n\n".join(page.text for page in pdf.read(content, given_up, with_tables=False).pages)
        if not text.strip():
            raise UnreadableFile(f"{quoted(name)} has no text: its pages are pictures. Save it with its text first.")
    else:
        text = _decoded(name, content)
    if not text.strip():
        raise UnreadableFile(f"{quoted(name)} is empty: there is no text in it.")
    if len(text) > MAX_TEXT_CHARACTERS:
        raise UnreadableFile(
            f"{quoted(name)} has {len(text):,} characters and may have {MAX_TEXT_CHARACTERS:,}: cut it into files."
        )
    return text


def _decoded(name: str, content: bytes) -> str:
    """Bytes as text: by their byte order mark, else as UTF-8, else as Windows' western encoding."""
    marked = next((encoding for mark, encoding in _BYTE_ORDER_MARKS.items() if content.startswith(mark)), None)
    for encoding in [marked] if marked else ["utf-8", "cp1252"]:
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError:
            continue
        if not _NEVER_IN_TEXT.search(text):
            return text.replace("\r\n", "\n").replace("\r", "\n")
    raise UnreadableFile(f"{quoted(name)} is no text, no Markdown and no PDF: save it as one of these, add it again.")
