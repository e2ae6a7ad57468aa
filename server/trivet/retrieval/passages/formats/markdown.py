"""Markdown (CommonMark with tables) as sections. Of its structure the blocks matter alone: inline markup stays."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import accumulate

from markdown_it import MarkdownIt
from markdown_it.token import Token

from trivet.retrieval.passages.formats.front_matter import read_front_matter
from trivet.retrieval.passages.formats.listings import Block, Table, announces, introduction_at
from trivet.retrieval.passages.formats.open_lists import OpenLists
from trivet.retrieval.passages.formats.sections import (
    HeadingPath,
    ParsedDocument,
    SectionText,
    cut_sections,
    heading_before_all,
)

_LISTS, _LIST_ENDS = ("bullet_list_open", "ordered_list_open"), ("bullet_list_close", "ordered_list_close")
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
        """A line of the text, without the blanks around it."""
        return self.text[self.place(number) : self.place(number + 1)].strip()

    def place(self, line: int) -> int:
        """Where a line begins in the text; the text's end for the one after the last."""
        at = self._starts[min(line, len(self._starts) - 1)]
        before = bisect_right(self._cuts, at - 1)
        return at - self._removed[before]

    def _comments(self, content: str, tokens: Sequence[Token]) -> Iterator[tuple[int, int]]:
        """Where comments begin and end, in order. One that is never closed is text, and so is one near code."""
        looked_at, last = [0, 0], 0
        for token in tokens:
            if token.type not in ("html_block", "inline") or token.map is None or _COMMENT not in token.content:
                continue
            if token.map == looked_at:
                continue  # all cells of a row have the row's place
            looked_at = token.map
            at, stop = (self._starts[min(line, len(self._starts) - 1)] for line in token.map)
            at = max(at, last)
            if token.type == "inline" and content.find("`", at, stop) >= 0:
                continue
            while (start := content.find(_COMMENT, at, stop)) >= 0:
                end = content.find(_COMMENT_END, start + len(_COMMENT), stop)
                if end < 0:
                    break
                at = last = end + len(_COMMENT_END)
                yield start, at


def _sections(source: _Source, tokens: Sequence[Token], headings: HeadingPath) -> Iterator[SectionText]:
    section, blocks = SectionText(headings.path, 0), _Blocks(source)
    for token, following in zip(tokens, [*tokens[1:], None], strict=True):
        if (block := blocks.of(token)) is not None:
            section.blocks.append(block)
        if token.level or token.map is None or token.type != "heading_open":
            continue
        first, after = token.map
        section.end = source.place(first)
        yield section
        heading = following.content if following is not None else ""
        section = SectionText(headings.enter(int(token.tag[1:]), heading), source.place(after))
    section.end = len(source.text)
    yield section


class _Blocks:
    """Tables and lists, as they end; those in quotations are text."""

    def __init__(self, source: _Source) -> None:
        self._source = source
        self._lists = OpenLists()
        self._ends: list[int] = []  # of the lists that are open, in lines
        self._paragraph: tuple[int, int] | None = None  # its lines, if it is what stands right before

    def of(self, token: Token) -> Block | None:
        """The table or the list that ends with this token, or is it."""
        if token.type in _LIST_ENDS and token.level == 2 * (len(self._ends) - 1):
            self._paragraph = None
            return self._lists.end(self._source.place(self._ends.pop()))
        if token.map is None or token.level not in (2 * len(self._ends), 2 * len(self._ends) - 1):
            return None
        first, after = token.map
        if token.type in _LISTS:
            introduction = self._introduction(announced=True)
            self._lists.begin(terms=False, recorded=True, introduction=introduction)
            self._ends.append(after)
        elif token.type == "list_item_open":
            at = self._source.place(first)
            self._lists.item(at)
            self._lists.line("", at)
        elif token.type == "table_open":
            return self._table(first, after)
        self._paragraph = (first, after) if token.type == "paragraph_open" else None
        return None

    def _table(self, first: int, after: int) -> Table | None:
        place = self._source.place
        introduction = self._lists.introduced(self._introduction(announced=False))
        start = place(first) if introduction is None else introduction
        header = self._source.line(first)
        table = Table(start, place(min(first + 2, after)), place(after), header)
        self._paragraph = None
        return None if self._lists.take(table) else table

    def _introduction(self, *, announced: bool) -> int | None:
        """Where the words right before this place begin that introduce what begins here."""
        if self._paragraph is None:
            return None
        start, end = (self._source.place(line) for line in self._paragraph)
        paragraph = self._source.text[start:end].rstrip()
        at = introduction_at(paragraph)
        return None if at == len(paragraph) or (announced and not announces(paragraph)) else start + at
