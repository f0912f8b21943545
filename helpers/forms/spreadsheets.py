"""Reads CSV files as spreadsheets write them: in their encodings, with their separators, past their empty rows.

Called by `samples.py`; what the columns mean is that module's business.
"""

from __future__ import annotations

import codecs
import contextlib
import csv
import io
import re
from collections.abc import Iterator, Sequence

from ..language import _, later

UTF8, UTF16, WINDOWS, MACINTOSH = "utf-8-sig", "utf-16", "cp1252", "mac_roman"
SEPARATORS = {",": later("comma"), ";": later("semicolon"), "\t": later("tab"), "|": later("bar")}
# A line for the spreadsheet alone.
_SEPARATOR_LINE = re.compile(r'"?sep=([,;\t|])"?[,;\t|]*(\r\n|\r|\n)', re.IGNORECASE)


def encoding_of(content: bytes) -> str:
    """The encoding that a spreadsheet saved a file in.

    UTF-16 begins with a mark. What is no UTF-8 is in the Western European encoding of Windows, or in that of a Mac if
    its lines end as only those did; but not if more of it is right UTF-8 than wrong: that is UTF-8, and broken.
    """
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return UTF16
    with contextlib.suppress(UnicodeDecodeError):
        content.decode()
        return UTF8
    text = content.decode(errors="replace")
    broken = text.count("\ufffd")
    if sum(letter > "\x7f" for letter in text) > 2 * broken:
        return UTF8
    return MACINTOSH if b"\r" in content and b"\n" not in content else WINDOWS


def rows(text: str, wanted: Sequence[str]) -> Iterator[tuple[int, dict[str, str] | str]]:
    """Reads the rows below the one that names the columns, whichever separator it uses. Empty rows are left out.

    Args:
        text: the file.
        wanted: columns that have to be there, in lower case.

    Yields:
        The number of the line on which a row begins, and its cells by column or a sentence's end that says what is
        wrong with it. A row that is too short lacks its last columns.
    """
    told = _SEPARATOR_LINE.match(text)
    above = 1 if told else 0
    for separator in [told[1]] if told else SEPARATORS:
        found = _numbered(text[told.end() :] if told else text, separator)
        number, head = next(found, (1, ""))
        names = [] if isinstance(head, str) else [name.strip().lower() for name in head]
        if set(wanted) <= set(names):
            twice = [name for name in wanted if names.count(name) > 1]
            if twice:
                yield number + above, _("the first line names the column {name} twice", name=twice[0])
                return
            for number, row in found:
                yield (
                    number + above,
                    row if isinstance(row, str) else _cells(row, names, wanted, _(SEPARATORS[separator])),
                )
            return
    yield (
        1 + above,
        _(
            "the first line of a CSV file names its columns, and {names} have to be among them",
            names=_(" and ").join(wanted),
        ),
    )


def _numbered(text: str, separator: str) -> Iterator[tuple[int, list[str] | str]]:
    """Each row that is not empty, with its first line's number; what can't be read ends a sentence, and the rows."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    while True:
        number = reader.line_num + 1
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield number, _("this row can't be read ({error})", error=error)
            return
        if any(cell.strip() for cell in row):
            yield number, row


def _cells(row: list[str], names: list[str], wanted: Sequence[str], mark: str) -> dict[str, str] | str:
    """A row's cells by column, unless a text seems to have been cut at a separator that belongs to it."""
    cut = _("a text that has a {mark} in it has to stand between double quotes", mark=mark)
    if len(row) > len(names):
        return _(
            "has {cells} cells and the first line names {columns} columns; {cut}",
            cells=len(row),
            columns=len(names),
            cut=cut,
        )
    # Another column can take up what was cut off: then a space that no other cell begins with tells.
    begins = {position: cell[0] for position, cell in enumerate(row) if position and cell.strip()}
    asked = [begins.get(names.index(name)) for name in wanted]
    if " " in asked and set(begins.values()) != {" "}:
        return _("has a cell that begins with a space, as what follows a {mark} in a text; {cut}", mark=mark, cut=cut)
    return dict(zip(names, row, strict=False))
