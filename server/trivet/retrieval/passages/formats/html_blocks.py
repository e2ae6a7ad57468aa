"""From the elements of a page to its text: paragraphs, headings, lists, terms, code and tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from trivet.retrieval.passages.formats.html_inline import InlineText
from trivet.retrieval.passages.formats.html_tables import Cell, Grid, Row, SpanBudget, span, table_lines
from trivet.retrieval.passages.formats.listings import Table, announces, introduction_at
from trivet.retrieval.passages.formats.open_lists import OpenLists
from trivet.retrieval.passages.formats.sections import (
    HeadingPath,
    ParsedDocument,
    SectionText,
    cut_sections,
    heading_before_all,
)

_HEADINGS = {"h1": 1, "h2": 2, "h3": 3, "h4": 4, "h5": 5, "h6": 6}
_LISTS = ("ul", "ol", "dir", "menu")
_ANY_LIST = (*_LISTS, "dl")
_NO_INTRODUCTION = ("row", "code", "heading", "dt")
_BLOCKS = frozenset(
    (
        *_HEADINGS, *_LISTS, "address", "article", "aside", "blockquote", "body", "caption", "center", "dd", "details",
        "div", "dl", "dt", "fieldset", "figcaption", "figure", "footer", "form", "header", "hr", "html", "legend",
        "li", "main", "p", "pre", "section", "summary", "table", "tbody", "td", "tfoot", "th", "thead", "tr",
    )
)  # fmt: skip
# A table with one of these in it arranges a page; its cells are read as blocks.
_OF_LAYOUT = frozenset((*_HEADINGS, "table", "pre", "article", "main"))
_MOST_INDENTED = 8
_LONG_CAPTION = 200  # characters: a longer one is a paragraph, not repeated with each part of its table
_INDENT = "  "


@dataclass(slots=True)
class _List:
    ordered: bool
    number: int = 0


@dataclass(slots=True)
class _OpenTable:
    """A table whose cells are collected; in one that is `layout`, and in what is nested in that, none are."""

    grid: Grid = field(default_factory=Grid)
    layout: bool = False
    in_head: bool = False
    part: str = ""  # "cell", "caption", or between them
    cell: tuple[bool, int, int] = (False, 1, 1)
    inside: InlineText = field(default_factory=InlineText)  # of the part
    between: InlineText = field(default_factory=InlineText)

    @property
    def text(self) -> InlineText:
        """Where text goes."""
        return self.inside if self.part else self.between


class HtmlBlocks:
    """Takes the elements of one page in order; `reading` gives what they say."""

    def __init__(self) -> None:
        self._title = InlineText()
        self._titles = 0
        self._in_title = False
        self._parts: list[str] = []
        self._length = 0
        self._last = ""  # what kind of line was the last one
        self._paragraph = ""  # if it was one that may introduce what follows
        self._run = InlineText()
        self._blocks: list[str] = []  # open ones
        self._markers: list[_List] = []
        self._lists = OpenLists()
        self._tables: list[_OpenTable] = []
        self._marker = ""  # of the list item that begins
        self._preformatted = 0
        self._headings = HeadingPath()
        self._sections = [SectionText((), 0)]
        self._budget = SpanBudget()

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        """An element begins."""
        if tag == "title":
            self._titles += 1
            self._in_title = self._titles == 1
            return
        if tag not in _BLOCKS:
            self._into().start(tag, attributes)
            return
        if (table := self._collecting()) is not None and tag in _OF_LAYOUT:
            self._dissolve(table)
            table = None
        if table is None:
            self._flush()
        self._blocks.append(tag)
        if tag in _LISTS:
            self._markers.append(_List(tag == "ol"))
        if tag in _ANY_LIST:
            introduction = self._introduction() if announces(self._paragraph) else None
            self._lists.begin(terms=tag == "dl", recorded=table is None, introduction=introduction)
        if table is not None:
            self._start_in_table(table, tag, attributes)
        elif tag == "table":
            self._tables.append(_OpenTable(layout=attributes.get("role", "") in ("presentation", "none")))
        elif tag == "li":
            self._marker = self._next_marker()
            self._lists.item(self._length)
        elif tag == "dt":
            self._lists.term(self._length)
        elif tag == "dd":
            self._lists.definition()
        elif tag == "pre":
            self._preformatted += 1

    def end(self, tag: str) -> None:
        """An element ends."""
        if tag == "title":
            self._in_title = False
            return
        if tag not in _BLOCKS:
            self._into().end(tag)
            return
        table = self._collecting()
        if table is None:
            self._flush()
        self._blocks.pop()
        if tag in _LISTS:
            self._markers.pop()
        if tag in _ANY_LIST:
            self._end_list()
        if tag == "table":
            self._write_table(self._tables.pop())
        elif table is not None:
            self._end_in_table(table, tag)
        elif tag == "li":
            self._marker = ""
        elif tag == "pre":
            self._preformatted -= 1

    def text(self, text: str) -> None:
        """Text in the innermost element."""
        if self._in_title:
            self._title.text(text)
        else:
            self._into().text(text)

    def reading(self) -> ParsedDocument:
        """What the page says; its title is its `title`, else the heading that it begins with."""
        self._flush()
        self._sections[-1].end = self._length
        text = "".join(self._parts)
        title = self._title.flat() or heading_before_all(text, self._sections)
        return ParsedDocument(title, text, cut_sections(text, self._sections))

    def _into(self) -> InlineText:
        """Where inline text goes."""
        table = self._collecting()
        return self._run if table is None else table.text

    def _collecting(self) -> _OpenTable | None:
        table = self._tables[-1] if self._tables else None
        return None if table is None or table.layout else table

    def _next_marker(self) -> str:
        if not self._markers:
            return "- "
        innermost = self._markers[-1]
        innermost.number += 1
        indent = _INDENT * min(len(self._markers) - 1, _MOST_INDENTED)
        return f"{indent}{innermost.number}. " if innermost.ordered else f"{indent}- "

    def _start_in_table(self, table: _OpenTable, tag: str, attributes: Mapping[str, str]) -> None:
        if tag in ("td", "th", "tr", "caption"):
            self._close_part(table)  # the parser leaves a cell open in which something is
        if tag in ("td", "th"):
            table.inside, table.part = InlineText(), "cell"
            table.cell = (tag == "th", span(attributes.get("colspan")), span(attributes.get("rowspan")))
            if not table.grid.rows:
                table.grid.rows.append(Row())
        elif tag == "tr":
            table.grid.rows.append(Row(table.in_head))
        elif tag == "thead":
            table.in_head = not table.grid.rows
        elif tag == "caption":
            table.inside, table.part = InlineText(), "caption"
        else:
            table.text.text(" ")

    def _end_in_table(self, table: _OpenTable, tag: str) -> None:
        if (tag in ("td", "th") and table.part == "cell") or (tag == "caption" and table.part == "caption"):
            self._close_part(table)
        elif tag == "thead":
            table.in_head = False
        else:
            table.text.text(" ")

    @staticmethod
    def _close_part(table: _OpenTable) -> None:
        """What was collected of a cell or of the caption is in the grid."""
        if table.part == "cell":
            heading, columns, rows = table.cell
            table.grid.rows[-1].cells.append(Cell(table.inside.flat(), heading, columns, rows))
        elif table.part == "caption":
            table.grid.caption = " ".join(filter(None, (table.grid.caption, table.inside.flat())))
        table.part = ""

    def _dissolve(self, table: _OpenTable) -> None:
        """It turns out to arrange the page: what was collected is written, the rest is read as blocks."""
        cells = (cell.text for row in table.grid.rows for cell in row.cells)
        inside = table.inside.flat() if table.part else ""
        for line in (table.between.flat(), table.grid.caption, *cells, inside):
            if line:
                self._line(line, "")
        table.layout = True

    def _write_table(self, table: _OpenTable) -> None:
        if table.layout:
            return
        self._close_part(table)
        before = [table.between.flat()]
        if len(table.grid.caption) > _LONG_CAPTION:
            before.append(table.grid.caption)
            table.grid.caption = ""
        for line in before:
            if line:
                self._line(line, "")
        introduction = self._lists.introduced(self._introduction())
        header, rows = table_lines(table.grid, self._budget)
        starts = []
        for n, line in enumerate((*header, *rows)):
            self._line(line, "row", joined=n > 0)
            starts.append(self._length - len(line))
        if len(rows) > 1:  # one row is text, whatever stands above it
            first_row = starts[len(header)]
            start = starts[0] if introduction is None else introduction
            block = Table(start, first_row, self._length, "\n".join(header))
            if not self._lists.take(block):
                self._sections[-1].blocks.append(block)

    def _end_list(self) -> None:
        self._paragraph = ""  # what stands in the list introduces nothing outside of it
        if self._last == "dt":
            self._last = ""  # a term without a definition
        if (listing := self._lists.end(self._length)) is not None:
            self._sections[-1].blocks.append(listing)

    def _introduction(self) -> int | None:
        """Where the words right before this place begin that may say what begins here."""
        at = introduction_at(self._paragraph)
        return None if at == len(self._paragraph) else self._length - len(self._paragraph) + at

    def _flush(self) -> None:
        """Write the text of the block that begins or ends here."""
        run, self._run = self._run, InlineText()
        block = self._blocks[-1] if self._blocks else ""
        if self._preformatted:
            if text := run.as_it_stands():
                self._line(text, "code")
            return
        text = run.flat()
        if block in _HEADINGS or block == "dt":
            text = text.removesuffix("¶").rstrip()  # the link to itself that some generators set there
        if not text:
            return
        if level := _HEADINGS.get(block):
            self._heading(level, text)
        elif block in ("dt", "dd"):
            self._line(text, block, joined=self._last == "dt" or (self._last, block) == ("dd", "dd"))
        elif self._marker:
            marker, self._marker = self._marker, ""
            self._line(marker + text, "item", joined=self._last == "item")
        elif block == "li":
            self._line(_INDENT * min(len(self._markers), _MOST_INDENTED) + text, "item", joined=self._last == "item")
        else:
            self._line(text, "")

    def _heading(self, level: int, text: str) -> None:
        self._sections[-1].end = self._length
        self._line("#" * level + " " + text, "heading")
        self._lists.abandon()
        self._sections.append(SectionText(self._headings.enter(level, text), self._length))

    def _line(self, text: str, kind: str, *, joined: bool = False) -> None:
        joined = joined or (self._last == "dt" and kind != "heading")  # a term stands with what is said of it
        between = "" if not self._parts else "\n" if joined else "\n\n"
        self._parts += (between, text)
        self._length += len(between) + len(text)
        self._last = kind
        self._paragraph = "" if kind in _NO_INTRODUCTION else text
        self._lists.line(text, self._length - len(text))
