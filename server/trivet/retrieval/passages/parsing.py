"""Documents of all formats as sections: what `trivet.retrieval.passages.formats` makes of each.

The text as read, which character ranges refer to: of plain text and source code the content itself, of Markdown the
same without front matter and comments, of JSON lines their texts with an empty line between them, of everything else
what was extracted. Line ends are always `\\n`.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from trivet.errors import DocumentRejected
from trivet.retrieval.passages.formats.sections import ParsedDocument, Section, SectionText, cut_sections
from trivet.retrieval.passages.limits import DEFAULT_LIMITS, DocumentLimits
from trivet.types.passage import DocumentFormat

__all__ = ["ParsedDocument", "Section", "read", "read_bytes"]

_FORMATS = "trivet.retrieval.passages.formats"
# Module and function of each, imported when the first document of its kind comes: most processes meet few of them.
_TEXTS = {
    DocumentFormat.MARKDOWN: ("markdown", "read_markdown"),
    DocumentFormat.HTML: ("html", "read_html"),
    DocumentFormat.JSON_LINES: ("lines", "read_json_lines"),
    DocumentFormat.CSV: ("plain.separated", "read_separated"),
    DocumentFormat.RST: ("plain.restructured", "read_restructured"),
    DocumentFormat.CODE: ("plain.source_code", "read_source_code"),
}
_BOUNDED_TEXTS = {DocumentFormat.NOTEBOOK: ("plain.notebook", "read_notebook")}
_BYTES = {
    DocumentFormat.PDF: ("pages.pdf", "read_pdf"),
    DocumentFormat.IMAGE: ("pages.image", "read_image"),
    DocumentFormat.DOCX: ("office.docx", "read_docx"),
    DocumentFormat.PPTX: ("office.pptx", "read_pptx"),
    DocumentFormat.XLSX: ("office.xlsx", "read_xlsx"),
    DocumentFormat.ODF: ("office.odf", "read_odf"),
    DocumentFormat.EPUB: ("office.epub", "read_epub"),
    DocumentFormat.MAIL: ("plain.mail", "read_mail"),
}


def read(text: str, format_: DocumentFormat, limits: DocumentLimits = DEFAULT_LIMITS) -> ParsedDocument:
    """Take the text of a document apart. Time grows linearly with its length.

    Raises DocumentRejected for what cannot be read.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if (where := _TEXTS.get(format_)) is not None:
        return _reader(*where)(text)
    if (where := _BOUNDED_TEXTS.get(format_)) is not None:
        return _checked(_reader(*where)(text, limits))
    return ParsedDocument("", text, cut_sections(text, [SectionText((), 0, len(text))]))


def read_bytes(content: bytes, format_: DocumentFormat, limits: DocumentLimits) -> ParsedDocument:
    """The same of a document that is no text: see `DocumentFormat.is_text`."""
    return _checked(_reader(*_BYTES[format_])(content, limits))


def _reader(module: str, function: str) -> Callable[..., ParsedDocument]:
    reader: Callable[..., ParsedDocument] = getattr(import_module(f"{_FORMATS}.{module}"), function)
    return reader


def _checked(parsed: ParsedDocument) -> ParsedDocument:
    """Raises DocumentRejected for what no text can have, however it was written in the document."""
    try:
        parsed.text.encode()
    except UnicodeEncodeError:
        raise DocumentRejected("there is half a surrogate pair in it, which is no text") from None
    if "\0" in parsed.text:
        raise DocumentRejected("there is a NUL character in it, which is no text")
    return parsed
