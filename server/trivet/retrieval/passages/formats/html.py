"""HTML as sections, from the parser's events (libxml2's, which are linear in the length and not recursive)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lxml import etree

from trivet.errors import DocumentRejected
from trivet.retrieval.passages.formats.html_blocks import HtmlBlocks
from trivet.retrieval.passages.formats.html_visibility import is_contents, is_left_out, is_sectioning, unclosed_parts
from trivet.retrieval.passages.formats.sections import ParsedDocument

_PIECE = 4096  # bytes for the parser at a time
# The parser looks through all open elements for an end tag that closes none of them: so many steps take a second.
_MOST_STEPS = 500_000_000


def read_html(content: str) -> ParsedDocument:
    """Title, and text with headings as in Markdown, blocks as paragraphs, list items and rows of tables as lines.

    What is hidden and what surrounds the text of a page (navigation, the page's header and footer, cookie notices) is
    left out, unless it is never closed: then it may hold the whole page. So is a table of contents, unless there is
    nothing else. Raises DocumentRejected for one with too many end tags in too deep a nesting.
    """
    unclosed = unclosed_parts(content)
    without = _read(content, _Target(unclosed, contents=False))
    return without if without.sections else _read(content, _Target(unclosed, contents=True))


def _read(content: str, target: _Target) -> ParsedDocument:
    parser = etree.HTMLParser(target=target, encoding="utf-8", huge_tree=True)
    data = content.encode("utf-8", "replace")
    steps = 0
    try:
        for at in range(0, len(data), _PIECE):
            piece = data[at : at + _PIECE]
            steps += piece.count(b"</") * target.depth
            if steps > _MOST_STEPS:
                raise DocumentRejected("its elements are nested too deeply: most are never closed")
            parser.feed(piece)
        parser.close()
    except etree.XMLSyntaxError:  # nothing but blanks, comments or declarations; anything else it takes
        pass
    return target.blocks.reading()


@dataclass(frozen=True, slots=True)
class _Element:
    tag: str
    left_out: bool
    sectioning: bool
    headline: bool  # of a page, in its header: that is text all the same


class _Target:
    """What the parser tells of: elements that are no text are dropped here, the rest goes to the blocks."""

    def __init__(self, unclosed: frozenset[str], *, contents: bool) -> None:
        """`contents`: whether tables of contents are text."""
        self.blocks = HtmlBlocks()
        self._contents = contents
        self._unclosed = unclosed
        self._open: list[_Element] = []
        self._left_out = 0  # open elements that are no text
        self._page_headers = 0  # of these, so many are a page's header
        self._headlines = 0
        self._sectioning = 0

    @property
    def depth(self) -> int:
        """How many elements are open."""
        return len(self._open)

    @property
    def _heard(self) -> bool:
        return self._left_out == 0 or (self._headlines > 0 and self._left_out == self._page_headers)

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        """An element begins."""
        left_out = tag not in self._unclosed and is_left_out(tag, attributes, sectioned=self._sectioning > 0)
        left_out = left_out or (not (self._contents or tag in self._unclosed) and is_contents(tag, attributes))
        in_header = 0 < self._left_out == self._page_headers
        element = _Element(tag, left_out, is_sectioning(tag, attributes), tag == "h1" and in_header and not left_out)
        self._open.append(element)
        self._count(element, 1)
        if self._heard and not left_out:
            self.blocks.start(tag, attributes)

    def end(self, _tag: str) -> None:
        """The innermost element ends."""
        if not self._open:
            return
        element = self._open.pop()
        if self._heard and not element.left_out:
            self.blocks.end(element.tag)
        self._count(element, -1)

    def data(self, text: str) -> None:
        """Text."""
        if self._heard:
            self.blocks.text(text)

    def close(self) -> None:
        """The end of the document."""
        while self._open:
            self.end(self._open[-1].tag)

    def _count(self, element: _Element, by: int) -> None:
        self._sectioning += by * element.sectioning
        self._headlines += by * element.headline
        self._left_out += by * element.left_out
        self._page_headers += by * (element.left_out and element.tag == "header")
