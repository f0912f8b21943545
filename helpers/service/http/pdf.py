"""The route that takes a PDF apart: `POST /blocks/extract-pdf`, and what it gives. Made by `app.py`."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter, Request, UploadFile

from ..pdf import Page, Pdf
from . import schemas
from .disconnect import while_connected
from .guard import workspace_of
from .schemas import Response
from .status import Status


class Image(Response):
    """A picture; the local service gives none."""

    data: str
    format: Literal["base64-png"]


class Cell(Response):
    """A cell of a table; the local service sees no spans."""

    cell_value: str
    col_span: int | None
    row_span: int | None


class TableRow(Response):
    """A row of a table; the first is taken for its header."""

    type: Literal["table_header", "table_data_row"]
    cells: list[Cell]


class Table(Response):
    """A ruled table."""

    name: str
    table_rows: list[TableRow]


class TextBlock(Response):
    """Text that belongs together; the local service does not tell titles and footers apart."""

    kind: Literal["footer", "header", "section_title", "text", "title"]
    texts: list[str]


class PageResponse(Response):
    """A page."""

    page_number: int
    text: str
    images: list[Image]
    tables: list[Table]
    text_blocks: list[TextBlock]


class PdfResponse(Response):
    """Response of POST /blocks/extract-pdf; `title` is the one in the PDF's own notes, if there is one."""

    title: str | None
    text: str
    pages: list[PageResponse]


def pdf_routes(status: Status) -> APIRouter:
    """The block that takes PDFs apart.

    Args:
        status: where the calls are.
    """
    blocks = APIRouter(responses=schemas.REFUSED)

    @blocks.post("/blocks/extract-pdf", response_model=PdfResponse)
    async def extract_pdf(request: Request, file: UploadFile) -> PdfResponse:
        """The text of a PDF, page by page. At most 8 MB and 2,000 pages; no pictures, tables or scanned text."""
        content = await file.read()
        found = await while_connected(request, status.ready.read_pdf(workspace_of(request), content))
        return _response(found)

    return blocks


def _response(pdf: Pdf) -> PdfResponse:
    text = "\n\n".join(page.text for page in pdf.pages)
    return PdfResponse(
        title=pdf.title, text=text, pages=[_page(number, page) for number, page in enumerate(pdf.pages, 1)]
    )


def _page(number: int, page: Page) -> PageResponse:
    tables = [
        Table(name=f"Table {place} of page {number}", table_rows=[_row(at, cells) for at, cells in enumerate(rows)])
        for place, rows in enumerate(page.tables, 1)
    ]
    blocks = [TextBlock(kind="text", texts=page.text.splitlines())] if page.text else []
    return PageResponse(page_number=number, text=page.text, images=[], tables=tables, text_blocks=blocks)


def _row(at: int, cells: list[str]) -> TableRow:
    return TableRow(
        type="table_data_row" if at else "table_header",
        cells=[Cell(cell_value=cell, col_span=None, row_span=None) for cell in cells],
    )
