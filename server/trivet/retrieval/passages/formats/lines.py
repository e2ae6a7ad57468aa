"""JSON lines as sections, one each."""

from __future__ import annotations

from trivet.retrieval.passages.formats.sections import ParsedDocument, Section
from trivet.retrieval.passages.json_lines import read_lines

_BETWEEN = "\n\n"  # in the text as read


def read_json_lines(content: str) -> ParsedDocument:
    """Passages that were cut elsewhere, and examples; raises DocumentRejected for a bad line."""
    sections, start = [], 0
    for line in read_lines(content):
        path = (line.title,) if line.title else ()
        sections.append(Section(path, line.text, start, whole=True, question=line.question))
        start += len(line.text) + len(_BETWEEN)
    return ParsedDocument("", _BETWEEN.join(section.text for section in sections), tuple(sections))
