"""Markdown (CommonMark with tables) as sections. Of its structure the blocks matter alone: inline markup stays."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import accumulate

from markdown_it import MarkdownIt
from markdown_it.token import Token

from trivet.retrieval.passages.formats.front_matter import read_front_matter
from trivet.retrieval.passages.formats.sections import (
    HeadingPath,
    ParsedDocument,
    SectionText,
    Table,
    cut_sections,
    heading_before_all,
)

_COMMENT, _COMMENT_END = "<!--", "-->"


def read_markdown(content: str, headings: HeadingPath | None = None) -> ParsedDocument:
    """A section under each heading (`#` or underlined); front matter and comments are not part of the text as read.

    `headings`: those above it, where it is a part of a document. Headings inside of code, quotations and
    lists cut nothing. Time grows linearly with the length.
    """
    matter = read_front_matter(content)
    content = content[matter.length :]
    tokens = _parser().parse(content)
    source = _Source(content, tokens)
    sections = list(_sections(source, tokens, HeadingPath() if headings is None else headings))
    title = matter.title or heading_before_all(source.text, sections)
    return ParsedDocument(title, source.text, cut_sections(source.text, sections), matter.tags, fields=matter.fields)


@cache
def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark").enable("table")
    parser.core.ruler.disable(["inline", "text_join"])
    # A definition of a link is text like any other, and where one ends is costly to find out.
    parser.block.ruler.disable("reference")
    return parser


class _Source:
    """A text without its comments, and where its lines begin in that."""

    def __init__(self, content: str, tokens: Sequence[Token]) -> None:
        lines = content.split("\n")
        self._starts = [0, *accumulate(len(line) + 1 for line in lines)]
        self._starts[-1] = len(content)
        self._lines = lines
        self._cuts: list[int] = []  # where comments begin
        self._removed = [0]  # characters removed up to each of them
        parts, at = [], 0
        for start, end in self._comments(content, tokens):
            parts.append(content[at:start])
            self._cuts.append(start)
            self._removed.append(self._removed[-1] + end - start)
            at = end
        self.text = "".join((*parts, content[at:]))

    def line(self, number: int) -> str:
        """A line as it stood."""
        return self._lines[number]

    def place(self, line: int) -> int:
        """Where a line begins in the text; the text's end for the one after the last."""
        at = self._starts[min(line, len(self._starts) - 1)]
        before = bisect_right(self._cuts, at - 1)
        return at - self._removed[before]

    def _comments(self, content: str, tokens: Sequence[Token]) -> Iterator[tuple[int, int]]:
        """Where comments begin and end, in order. One that is never closed is text, and so is one near code."""
        for token in tokens:
            if token.type not in ("html_block", "inline") or token.map is None or _COMMENT not in token.content:
                continue
            if token.type == "inline" and "`" in token.content:
                continue
            at, stop = (self._starts[min(line, len(self._starts) - 1)] for line in token.map)
            while (start := content.find(_COMMENT, at, stop)) >= 0:
                end = content.find(_COMMENT_END, start + len(_COMMENT), stop)
                if end < 0:
                    break
                at = end + len(_COMMENT_END)
                yield start, at


def _sections(source: _Source, tokens: Sequence[Token], headings: HeadingPath) -> Iterator[SectionText]:
    section = SectionText(headings.path, 0)
    for token, following in zip(tokens, [*tokens[1:], None], strict=True):
        if token.level or token.map is None:
            continue
        first, after = token.map
        if token.type == "heading_open":
            section.end = source.place(first)
            yield section
            heading = following.content if following is not None else ""
            section = SectionText(headings.enter(int(token.tag[1:]), heading), source.place(after))
        elif token.type == "table_open":
            start, rows, end = source.place(first), source.place(min(first + 2, after)), source.place(after)
            section.tables.append(Table(start, rows, end, source.line(first).strip()))
    section.end = len(source.text)
    yield section
