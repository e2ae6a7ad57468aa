"""Separated values: a line for each record, the first one naming the columns."""

from __future__ import annotations

import csv
import io

from trivet.errors import DocumentRejected
from trivet.retrieval.passages.formats.html_tables import BETWEEN_CELLS
from trivet.retrieval.passages.formats.listings import Table
from trivet.retrieval.passages.formats.places import NumberedPlaces
from trivet.retrieval.passages.formats.sections import ParsedDocument, Section

_DELIMITERS = ",;\t|"
_LOOKED_AT = 20  # lines, to tell the delimiter
_SAMPLE = 1 << 16  # characters


def read_separated(content: str) -> ParsedDocument:
    """Fields between commas, semicolons, tabs or bars, whichever cuts the first lines most evenly.

    Raises DocumentRejected for what is no table: a quote that is never closed, or a field of over 131,072 characters.
    """
    lines: list[str] = []
    starts: list[int] = []
    at = 0
    try:
        for record in csv.reader(io.StringIO(content, newline=""), delimiter=_delimiter(content), strict=True):
            starts.append(at)  # an empty record has its number, too: people look for it in a spreadsheet
            line = BETWEEN_CELLS.join(" ".join(field.split()) for field in record)
            if line.strip(" |"):
                lines.append(line)
                at += len(line) + 1
    except csv.Error as error:
        raise DocumentRejected(f"record {len(starts) + 1}: {error}") from None
    if not lines:
        return ParsedDocument("", "", ())
    text = "\n".join(lines)
    rows = len(lines[0]) + 1
    table = Table(0, rows, len(text), lines[0]) if len(lines) > 1 else Table(0, 0, len(text))
    return ParsedDocument("", text, (Section((), text, blocks=(table,)),), places=NumberedPlaces("row", starts))


def _delimiter(content: str) -> str:
    """The one of which the first lines have the same number, and most of it; the comma if none has any."""
    sample = content[:_SAMPLE].split("\n")
    first = [line for line in (sample if len(content) <= _SAMPLE else sample[:-1])[:_LOOKED_AT] if line.strip()]

    def evenness(delimiter: str) -> tuple[int, int]:
        counts = [_outside_quotes(line).count(delimiter) for line in first]
        return sum(count == counts[0] for count in counts) if counts and counts[0] else 0, counts[0] if counts else 0

    return max(_DELIMITERS, key=evenness)


def _outside_quotes(line: str) -> str:
    return "".join(line.split('"')[::2])
