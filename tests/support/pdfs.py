"""PDFs for tests, made on the spot."""

from __future__ import annotations

import io

from pypdf import PdfWriter
from pypdf.generic import DecodedStreamObject, DictionaryObject, NameObject

FONT = DictionaryObject(
    {NameObject("/Type"): NameObject("/Font"), NameObject("/Subtype"): NameObject("/Type1")}
    | {NameObject("/BaseFont"): NameObject("/Helvetica")}
)


def a_pdf(*pages: str, title: str | None = None, password: str | None = None, cipher: str = "RC4-128") -> bytes:
    """A PDF of pages with these texts, a line a line; None of the rest if it is not given."""
    writer = PdfWriter()
    for text in pages:
        page = writer.add_blank_page(612, 792)
        page[NameObject("/Resources")] = DictionaryObject(
            {NameObject("/Font"): DictionaryObject({NameObject("/F1"): FONT})}
        )
        lines = " ".join(f"({line}) Tj 0 -14 Td" for line in text.split("\n"))
        drawn = DecodedStreamObject()
        drawn.set_data(f"BT /F1 12 Tf 72 720 Td {lines} ET".encode("latin-1"))
        page[NameObject("/Contents")] = drawn
    if title is not None:
        writer.add_metadata({"/Title": title})
    if password is not None:
        writer.encrypt(password, algorithm=cipher)
    written = io.BytesIO()
    writer.write(written)
    return written.getvalue()
