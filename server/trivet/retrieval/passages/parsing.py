"""Documents of all formats as sections: what `trivet.retrieval.passages.formats` makes of each.

The text as read, which character ranges refer to: of plain text the content itself, of Markdown the same without front
matter and comments, of HTML and PDF what was extracted, of JSON lines the lines' texts with an empty line between them.
Line ends are always `\\n`.
"""

from __future__ import annotations

from trivet.retrieval.passages.formats.html import read_html
from trivet.retrieval.passages.formats.lines import read_json_lines
from trivet.retrieval.passages.formats.markdown import read_markdown
from trivet.retrieval.passages.formats.sections import ParsedDocument, Section, SectionText, cut_sections
from trivet.types.passage import DocumentFormat

__all__ = ["ParsedDocument", "Section", "read"]


def read(text: str, format_: DocumentFormat) -> ParsedDocument:
    """Take a document's text apart; for a PDF, the text that was extracted. Time grows linearly with its length.

    Raises DocumentRejected for what cannot be read.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    match format_:
        case DocumentFormat.MARKDOWN:
            return read_markdown(text)
        case DocumentFormat.HTML:
            return read_html(text)
        case DocumentFormat.JSON_LINES:
            return read_json_lines(text)
        case DocumentFormat.TEXT | DocumentFormat.PDF:
            return ParsedDocument("", text, cut_sections(text, [SectionText((), 0, len(text))]))
