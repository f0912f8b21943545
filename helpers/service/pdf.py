"""Reads PDFs by pypdf, in a process of its own: one that takes too long or too much memory harms no one.

`read` starts that process, which is this module as a program: it takes the PDF on stdin and gives JSON on stdout.
Called by `documents.py` for collections and by `calls.py` for `extract-pdf`.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from .refusals import CallerGone, UnreadableFile

if TYPE_CHECKING:
    from pypdf import PdfReader

READ_SECONDS = 60  # some 2,000 ordinary pages
LOOK_SECONDS = 0.1  # how often one who waits looks whether someone still waits for it
MAX_MEMORY_BYTES = 2 << 30  # of address space, where the system can limit that
MAX_PAGES = 2000


@dataclass(frozen=True)
class Page:
    """A page: its text, and its ruled tables as rows of cells."""

    text: str
    tables: list[list[list[str]]]


@dataclass(frozen=True)
class Pdf:
    """What a PDF says; `title` is None where its author gave none."""

    title: str | None
    pages: list[Page]


def is_pdf(content: bytes) -> bool:
    """Whether bytes begin as a PDF does; readers allow for some bytes before that."""
    return b"%PDF-" in content[:1024]


def read(content: bytes, given_up: threading.Event, with_tables: bool = True) -> Pdf:
    """Reads a PDF.

    Args:
        content: its bytes.
        given_up: once it is set, the reading ends.
        with_tables: look for tables too, which takes longer.

    Raises:
        UnreadableFile: it is none, is broken or encrypted, has too many pages, or takes too long.
        CallerGone: it was given up.
    """
    if not is_pdf(content):
        raise UnreadableFile("This is no PDF: the file does not begin as one does. Check which file was sent.")
    answer = _ask(content, given_up, [] if not with_tables else ["--tables"])
    if "refused" in answer:
        raise UnreadableFile(answer["refused"])
    return Pdf(answer["title"], [Page(**page) for page in answer["pages"]])


def _ask(content: bytes, given_up: threading.Event, options: list[str]) -> dict[str, Any]:
    """The answer of the process, which is ended whatever happens."""
    command = [sys.executable, "-m", __spec__.name, *options]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    deadline = time.monotonic() + READ_SECONDS
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
    ) as reader:
        try:
            said = _until_done(reader, content, given_up, deadline)
        finally:
            reader.kill()
    try:
        return json.loads(said)
    except ValueError:
        return {"refused": "This PDF can't be read: it is broken, or needs more memory than a PDF may."}


def _until_done(reader: subprocess.Popen[bytes], content: bytes, given_up: threading.Event, deadline: float) -> bytes:
    given: bytes | None = content
    while True:
        try:
            return reader.communicate(given, LOOK_SECONDS)[0]
        except subprocess.TimeoutExpired:
            given = None  # what was begun goes on
        if given_up.is_set():
            raise CallerGone
        if time.monotonic() > deadline:
            raise UnreadableFile(f"This PDF was not read after {READ_SECONDS} seconds: cut it into smaller ones.")


def _limit_memory() -> None:
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY_BYTES, MAX_MEMORY_BYTES))


def _pages_of(content: bytes, with_tables: bool) -> dict[str, Any]:
    """Runs in the process: everything that is known of a PDF, or why it can't be."""
    import io

    from pypdf import PdfReader

    document = PdfReader(io.BytesIO(content))
    if document.is_encrypted and not _opens_without_password(document):
        return {"refused": "This PDF is locked with a password: save it without one and send it again."}
    if len(document.pages) > MAX_PAGES:
        return {"refused": f"This PDF has {len(document.pages)} pages and may have {MAX_PAGES}: cut it."}
    pages = [Page(_text(page.extract_text()), []) for page in document.pages]
    if not pages:
        return {"refused": "This PDF has no pages: it may be broken."}
    title = document.metadata and document.metadata.title
    return asdict(Pdf(_text(str(title or "")) or None, pages))


def _opens_without_password(document: PdfReader) -> bool:
    """Whether an encrypted PDF lets anyone read; the newer ciphers need a package that the kit does without."""
    from pypdf.errors import DependencyError

    try:
        return bool(document.decrypt(""))
    except DependencyError:
        return False


def _text(found: str) -> str:
    """Without what no text holds and no database keeps: halves of characters, and zeros."""
    return found.encode("utf-8", "replace").decode().replace("\0", "").strip()


def main() -> None:
    """The process."""
    _limit_memory()
    content = sys.stdin.buffer.read()
    try:
        answer = _pages_of(content, "--tables" in sys.argv)
    except Exception:  # noqa: BLE001 - pypdf raises whatever a broken file leads it to
        answer = {"refused": "This PDF can't be read: it is broken. Open it, save it anew, and send that."}
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
