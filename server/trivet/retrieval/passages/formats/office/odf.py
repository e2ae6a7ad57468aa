"""OpenDocument texts, presentations and sheets: their elements are told to the reader of HTML's blocks."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import replace

from lxml import etree

from trivet.errors import DocumentRejected
from trivet.retrieval.passages.formats.html_blocks import HtmlBlocks
from trivet.retrieval.passages.formats.office.archive import DocumentArchive, check_xml
from trivet.retrieval.passages.formats.sections import ParsedDocument
from trivet.retrieval.passages.limits import DocumentLimits

_BLOCKS = {
    "text:p": "p",
    "text:list": "ul",
    "text:list-item": "li",
    "table:table": "table",
    "table:table-row": "tr",
    "table:table-cell": "td",
    "table:table-header-rows": "thead",
}
# What is no text of its own: deleted text, comments, notes about forms, the pictures' own names.
_LEFT_OUT = ("text:tracked-changes", "office:annotation", "office:forms", "svg:title", "svg:desc", "office:scripts")
_NAMESPACES = {
    "urn:oasis:names:tc:opendocument:xmlns:text:1.0": "text:",
    "urn:oasis:names:tc:opendocument:xmlns:table:1.0": "table:",
    "urn:oasis:names:tc:opendocument:xmlns:office:1.0": "office:",
    "urn:oasis:names:tc:opendocument:xmlns:svg-compatible:1.0": "svg:",
    "http://purl.org/dc/elements/1.1/": "dc:",
}
_REPEATED = "{urn:oasis:names:tc:opendocument:xmlns:table:1.0}number-columns-repeated"
_COLUMNS = "{urn:oasis:names:tc:opendocument:xmlns:table:1.0}number-columns-spanned"
_ROWS = "{urn:oasis:names:tc:opendocument:xmlns:table:1.0}number-rows-spanned"
_LEVEL = "{urn:oasis:names:tc:opendocument:xmlns:text:1.0}outline-level"
_PIECE = 1 << 16
_MOST_REPEATED = 64  # columns of one cell
_MOST_DIGITS = 6


def read_odf(content: bytes, limits: DocumentLimits) -> ParsedDocument:
    """Headings as sections, lists, and tables as in HTML. Macros, pictures, objects and comments are left out.

    Raises DocumentRejected.
    """
    archive = DocumentArchive(content, limits.unpacked)
    target = _Target(limits.characters)
    if "META-INF/manifest.xml" in archive.names() and b"encryption-data" in archive.read("META-INF/manifest.xml"):
        raise DocumentRejected("it is encrypted: it asks for a password")
    xml = archive.read("content.xml")
    check_xml(xml)
    parser = etree.XMLParser(target=target, resolve_entities=False, no_network=True, load_dtd=False)
    try:
        for at in range(0, len(xml), _PIECE):
            parser.feed(xml[at : at + _PIECE])
        parser.close()
    except etree.XMLSyntaxError as error:
        raise DocumentRejected(f"its content.xml is damaged ({error})"[:200]) from None
    parsed = target.blocks.reading()
    return replace(parsed, title=_title(archive) or parsed.title)


class _Target:
    """What libxml2 tells of, in HTML's words."""

    def __init__(self, characters: int) -> None:
        self.blocks = HtmlBlocks()
        self._most = characters
        self._length = 0
        self._open: list[str] = []  # the names in HTML, empty where there is none
        self._left_out = 0

    def start(self, name: str, attributes: Mapping[str, str]) -> None:
        """An element begins."""
        tag = _short(name)
        if tag in _LEFT_OUT or self._left_out:
            self._left_out += 1
            return
        if tag == "text:h":
            level = attributes.get(_LEVEL, "1")
            html = f"h{min(6, int(level)) if level.isdigit() and level.isascii() and len(level) < 4 else 1}"
        else:
            html = _BLOCKS.get(tag, "")
        self._open.append(html)
        if tag in ("text:tab", "text:s", "text:line-break"):
            self._text(" ")
        if html == "td":
            self._cell(attributes)
        elif html:
            self.blocks.start(html, {})

    def end(self, _name: str) -> None:
        """The innermost element ends."""
        if self._left_out:
            self._left_out -= 1
            return
        if html := self._open.pop():
            self.blocks.end(html)

    def data(self, text: str) -> None:
        """Text, of a paragraph or a heading: between others there is none but blanks."""
        if not self._left_out:
            self._text(text)

    def close(self) -> None:
        """The end of the document."""

    def _text(self, text: str) -> None:
        self._length += len(text)
        if self._length > self._most:
            raise DocumentRejected(f"it has more than {self._most:,} characters of text")
        self.blocks.text(text)

    def _cell(self, attributes: Mapping[str, str]) -> None:
        # A cell that is repeated is told as one that spans: each of its columns has its text then.
        columns = attributes.get(_REPEATED) or attributes.get(_COLUMNS, "1")
        if columns.isdigit() and (len(columns) > _MOST_DIGITS or int(columns) > _MOST_REPEATED):
            columns = "1"  # the rest of a sheet's row
        self.blocks.start("td", {"colspan": columns, "rowspan": attributes.get(_ROWS, "1")})


def _short(name: str) -> str:
    namespace, _, local = name.rpartition("}")
    return _NAMESPACES.get(namespace[1:], "") + local


def _title(archive: DocumentArchive) -> str:
    if "meta.xml" not in archive.names():
        return ""
    meta = archive.read("meta.xml")
    check_xml(meta)
    try:
        root = etree.parse(io.BytesIO(meta), etree.XMLParser(resolve_entities=False, no_network=True)).getroot()
    except etree.XMLSyntaxError:
        return ""
    return " ".join((root.findtext(".//{http://purl.org/dc/elements/1.1/}title") or "").split())
