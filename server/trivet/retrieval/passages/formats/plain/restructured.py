"""reStructuredText: cut at its headings, otherwise as it stands.

Docutils drops what stands in directives that it does not know, which is most of a manual that Sphinx makes.
"""

from __future__ import annotations

import re

from trivet.retrieval.passages.formats.sections import (
    HeadingPath,
    ParsedDocument,
    SectionText,
    cut_sections,
    heading_before_all,
)

_ADORNMENT = re.compile(r"([!-/:-@\[-`{-~])\1*\Z")
_LEAST = 3  # characters of an adornment; a shorter one only under a title that is no longer


def read_restructured(content: str) -> ParsedDocument:
    """A section under each heading that is underlined, or over- and underlined. Linear in the length."""
    lines = content.split("\n")
    headings = HeadingPath()
    levels: dict[str, int] = {}
    sections = [SectionText((), 0)]
    at = n = 0
    while n < len(lines):
        style, title, count = _heading(lines, n)
        if count:
            level = levels.setdefault(style, len(levels) + 1)
            sections[-1].end = at
            at += sum(len(line) + 1 for line in lines[n : n + count])
            sections.append(SectionText(headings.enter(level, title), min(at, len(content))))
            n += count
            continue
        at += len(lines[n]) + 1
        n += 1
    sections[-1].end = len(content)
    return ParsedDocument(heading_before_all(content, sections), content, cut_sections(content, sections))


def _heading(lines: list[str], n: int) -> tuple[str, str, int]:
    """Style, title and lines of a heading that begins at line `n`; no lines if none does."""
    if (over := _adornment(lines[n])) and n + 2 < len(lines):
        title, under = lines[n + 1], lines[n + 2].rstrip()
        if title.strip() and under == lines[n].rstrip() and len(under) >= len(title.rstrip()):
            return f"{over}{over}", title.strip(), 3
    if n + 1 < len(lines) and (under := _adornment(lines[n + 1])):
        title, length = lines[n], len(lines[n + 1].rstrip())
        enough = length >= len(title.rstrip()) or length > _LEAST
        plain = title.strip() and not title[0].isspace() and not _adornment(title)
        above_is_text = n > 0 and lines[n - 1].strip() and not _is_target(lines[n - 1])
        if plain and enough and not above_is_text:
            return under, title.strip(), 2
    return "", "", 0


def _adornment(line: str) -> str:
    """The character that a line consists of; empty for any other line."""
    line = line.rstrip()
    if len(line) < 2 or not _ADORNMENT.match(line):
        return ""
    return line[0]


def _is_target(line: str) -> bool:
    return line.startswith((".. ", "   "))
