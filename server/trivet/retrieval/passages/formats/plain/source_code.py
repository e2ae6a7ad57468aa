"""Source code: the text as it stands, cut where what is defined at its left edge begins."""

from __future__ import annotations

import re

from trivet.retrieval.passages.formats.places import NumberedPlaces, line_starts
from trivet.retrieval.passages.formats.sections import MAX_HEADING, ParsedDocument, SectionText, cut_sections

# At the beginning of a line, so that a line is looked at once; the words before a definition are few and short.
_DEFINITION = re.compile(
    r"^(?:(?:export|default|public|private|protected|internal|pub|abstract|final|static|async|sealed|open|data|unsafe)"
    r"(?:\([a-z]{1,10}\))? ){0,4}"
    r"(?:class|def|func|function|fn|interface|struct|enum|trait|impl|module|namespace|object|type|record|protocol|sub)\b"
    r"[^\n]{1,200}",
    re.MULTILINE,
)
_BEFORE = ("@", "#[", "//", "#", "/**", " *", "---", "--")  # decorators and comments that belong to what follows
_MOST_BEFORE = 50  # lines


def read_source_code(content: str) -> ParsedDocument:
    """A section for each class, function or type of the outermost level, named by its first line. Nothing is run."""
    starts = line_starts(content)
    lines = content.split("\n")
    sections = [SectionText((), 0, code=True)]
    number = 0
    for found in _DEFINITION.finditer(content):
        while starts[number] < found.start():
            number += 1
        first = number
        while first > 0 and number - first < _MOST_BEFORE and lines[first - 1].startswith(_BEFORE):
            first -= 1
        begin = max(starts[first], sections[-1].start)
        sections[-1].end = begin
        name = " ".join(found.group().rstrip(" {:(").split())[:MAX_HEADING]
        sections.append(SectionText((name,), begin, code=True))
    sections[-1].end = len(content)
    return ParsedDocument("", content, cut_sections(content, sections), places=NumberedPlaces("line", starts))
