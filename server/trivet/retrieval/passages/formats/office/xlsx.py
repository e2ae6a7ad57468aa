"""Workbooks: a section for each sheet, a line for each row, the first row naming the columns."""

from __future__ import annotations

import datetime
import io
from collections.abc import Iterable, Iterator
from typing import Any

from openpyxl import load_workbook
from openpyxl.utils import get_column_letter

from trivet.errors import DocumentRejected
from trivet.retrieval.passages.formats.html_tables import BETWEEN_CELLS
from trivet.retrieval.passages.formats.listings import Table
from trivet.retrieval.passages.formats.office.archive import DocumentArchive
from trivet.retrieval.passages.formats.places import CellPlaces, Cells
from trivet.retrieval.passages.formats.sections import MAX_HEADING, ParsedDocument, Section
from trivet.retrieval.passages.limits import DocumentLimits

_MOST_CELLS = 2_000_000  # looked at, empty ones too: a row may claim 16,384 of them
_MOST_ROWS = 1_048_576  # of a sheet, as spreadsheets have it
_BETWEEN = "\n\n"


def read_xlsx(content: bytes, limits: DocumentLimits) -> ParsedDocument:
    """Values as they were saved, hidden sheets too; formulas, macros, links, charts and pictures are left out.

    Raises DocumentRejected.
    """
    archive = DocumentArchive(content, limits.unpacked)
    archive.check_parts()
    try:
        workbook = load_workbook(io.BytesIO(content), read_only=True, data_only=True, keep_vba=False, keep_links=False)
        sheets = _Sheets(limits)
        for sheet in workbook.worksheets:
            sheet.reset_dimensions()  # what a sheet says of its size is somebody's claim
            sheets.add(sheet.title, sheet.iter_rows())
        return sheets.document(" ".join((workbook.properties.title or "").split()))
    except (MemoryError, DocumentRejected):
        raise
    except Exception as error:  # of a library that finds something else than it expects
        raise DocumentRejected(f"it is no workbook that can be read ({type(error).__name__}: {error})"[:200]) from None


class _Sheets:
    """The text of the sheets so far."""

    def __init__(self, limits: DocumentLimits) -> None:
        self._limits = limits
        self._parts: list[str] = []
        self._length = 0
        self._sections: list[Section] = []
        self._starts: list[int] = []
        self._rows: list[Cells] = []
        self._cells = 0

    def add(self, name: str, rows: Iterable[Iterable[Any]]) -> None:
        """A sheet; one without values leaves nothing."""
        lines: list[str] = []
        begin = at = self._length + (len(_BETWEEN) if self._parts else 0)
        header = rows_at = 0
        for cells, line in self._lines(name, rows):
            self._starts.append(at)
            self._rows.append(cells)
            at += len(line) + 1
            if at > self._limits.characters:
                raise DocumentRejected(f"it has more than {self._limits.characters:,} characters of text")
            lines.append(line)
            if len(lines) == 1:
                header, rows_at = len(line), at - begin
        if not lines:
            return
        text = "\n".join(lines)
        # One row alone is no header of others.
        table = Table(0, rows_at, len(text), text[:header]) if len(lines) > 1 else Table(0, 0, len(text))
        path = " ".join(name.split())[:MAX_HEADING]
        self._sections.append(Section((path,) if path else (), text, begin, blocks=(table,)))
        self._parts.append(text)
        self._length = begin + len(text)

    def document(self, title: str) -> ParsedDocument:
        """All sheets."""
        places = CellPlaces(self._starts, self._rows)
        return ParsedDocument(title, _BETWEEN.join(self._parts), tuple(self._sections), places=places)

    def _lines(self, name: str, rows: Iterable[Iterable[Any]]) -> Iterator[tuple[Cells, str]]:
        for number, row in enumerate(rows, 1):
            cells = list(row)
            self._cells += len(cells) + 1
            if self._cells > _MOST_CELLS or number > _MOST_ROWS:
                raise DocumentRejected(f"its sheets have more than {_MOST_CELLS:,} cells, expected several documents")
            filled = [n for n, cell in enumerate(cells) if cell.value not in (None, "")]
            if not filled:
                continue
            # Cells that are empty stand for their columns, up to the last one that is not.
            texts = [_text(cell.value) for cell in cells[filled[0] : filled[-1] + 1]]
            row_number = next((cell.row for cell in cells if getattr(cell, "row", None)), number)
            where = Cells(name, row_number, get_column_letter(filled[0] + 1), get_column_letter(filled[-1] + 1))
            yield where, BETWEEN_CELLS.join(texts)


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, datetime.datetime) and value.time() == datetime.time():
        return value.date().isoformat()
    if isinstance(value, datetime.datetime | datetime.date | datetime.time):
        return value.isoformat(*(" ",) if isinstance(value, datetime.datetime) else ())
    if isinstance(value, float):
        return format(value, ".15g")
    return " ".join(str(value).split())
