"""Documents of all formats as sections of paragraphs. LlamaIndex reads the Markdown; imported when first needed.

The text as read, which character ranges refer to: of plain text and Markdown the content itself, of HTML and PDF what
was extracted, of JSON lines the lines' texts with an empty line between them. Line ends are always `\\n`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from trivet.retrieval.documents.json_lines import read_lines
from trivet.types.passage import DocumentFormat

_SEPARATOR = "\x1f"  # of headings in a path: a slash may be in a heading
_LETTER = re.compile(r"\S")
_HEADING = re.compile(r"#+\s(.*)(?:\n|$)")
_CLOSING = re.compile(r"\s+#+\s*$")  # of a heading: "## Leave ##"
_HEADINGS = {"h1": "# ", "h2": "## ", "h3": "### ", "h4": "#### ", "h5": "##### ", "h6": "###### "}
_LINES = {"li": "list", "tr": "table", "dt": "terms", "dd": "terms"}  # of one kind stay together, one line each
_BLOCKS = {
    *_HEADINGS, *_LINES, "address", "article", "aside", "blockquote", "body", "caption", "div", "fieldset",
    "figcaption", "figure", "footer", "form", "header", "html", "main", "p", "pre", "section", "table", "ul", "ol",
    "dl",
}  # fmt: skip
_BETWEEN_LINES = "\n\n"  # of JSON lines, in the text as read
_SKIPPED = ("script", "style", "template", "noscript", "nav", "svg")


@dataclass(frozen=True, slots=True)
class Section:
    """Text under one heading. `path`: the headings above it, outermost first. `start`: its place in the text as read.

    One that is `whole` is a passage of its own unless the embedding model cannot see it whole. `question` is what
    searches meet of it, where that is not its text.
    """

    path: tuple[str, ...]
    text: str
    start: int = 0
    whole: bool = False
    question: str = ""


@dataclass(frozen=True, slots=True)
class Reading:
    """A document read: its own title, empty if it names none, its text as read, and its sections in order."""

    title: str
    text: str
    sections: tuple[Section, ...]


def read(text: str, format_: DocumentFormat) -> Reading:
    """Take a document's text apart; for a PDF, the text that was extracted. Raises DocumentRejected for bad lines."""
    text = text.replace("\r\n", "\n")
    if format_ is DocumentFormat.JSON_LINES:
        return _read_lines(text)
    if format_ in (DocumentFormat.TEXT, DocumentFormat.PDF):
        return Reading("", text, (_stripped((), text, 0, len(text)),))
    title = ""
    if format_ is DocumentFormat.HTML:
        title, text = _markdown_of_html(text)
    sections = tuple(_sections(text))
    if not title and sections and sections[0].path:
        title = sections[0].path[0]
    return Reading(title, text, tuple(section for section in sections if section.text))


def _read_lines(text: str) -> Reading:
    sections, start = [], 0
    for line in read_lines(text):
        path = (line.title,) if line.title else ()
        sections.append(Section(path, line.text, start, whole=True, question=line.question))
        start += len(line.text) + len(_BETWEEN_LINES)
    return Reading("", _BETWEEN_LINES.join(section.text for section in sections), tuple(sections))


def _stripped(path: tuple[str, ...], text: str, start: int, end: int) -> Section:
    """The section at text[start:end] without the blanks around it."""
    return Section(path, text[start:end].strip(), min(_first_letter(text, start), end))


def _first_letter(text: str, start: int) -> int:
    """Where the first character stands that is no blank; the end if there is none."""
    found = _LETTER.search(text, start)
    return found.start() if found else len(text)


def _sections(markdown: str) -> Iterator[Section]:
    """One per heading, also where nothing stands below it."""
    from llama_index.core.node_parser import MarkdownNodeParser
    from llama_index.core.schema import Document

    parser = MarkdownNodeParser(header_path_separator=_SEPARATOR, include_prev_next_rel=False)
    at = 0
    for node in parser.get_nodes_from_node(Document(text=markdown)):
        # The nodes are the whole text less the blanks between them, in order and at their full length.
        at = _first_letter(markdown, at)
        end = at + len(node.text)
        headings = [part for part in node.metadata["header_path"].split(_SEPARATOR) if part]
        own = _HEADING.match(node.text)
        path = tuple(_CLOSING.sub("", heading).strip() for heading in [*headings, *([own.group(1)] if own else [])])
        yield _stripped(path, markdown, at + (own.end() if own else 0), end)
        at = end


def _markdown_of_html(html: str) -> tuple[str, str]:
    """Title and text: headings as in Markdown, blocks as paragraphs, list items and table rows as lines."""
    from bs4 import BeautifulSoup

    soup = BeautifulSoup(html, "html.parser")
    title = " ".join(soup.title.get_text().split()) if soup.title else ""
    for tag in soup(["head", "title", *_SKIPPED]):
        tag.decompose()
    for tag in soup("br"):
        tag.replace_with("\n")
    for cell in soup(["td", "th"]):
        if cell.find_next_sibling(["td", "th"]):
            cell.append(" | ")
    return title, "".join(_paragraphs(soup))


def _paragraphs(soup: Any) -> Iterator[str]:
    """The text of each block, with what separates it from the one before."""
    from bs4.element import NavigableString

    # Comments and the like are subclasses.
    strings = [string for string in soup.find_all(string=True) if type(string) is NavigableString]
    blocks = [next((tag for tag in string.parents if tag.name in _BLOCKS), soup) for string in strings]
    last = ""
    for _, group in groupby(zip(blocks, strings, strict=True), key=lambda pair: id(pair[0])):
        run = list(group)
        name = run[0][0].name
        text = "".join(string for _, string in run)
        text = text if name == "pre" else " ".join(text.split())
        if text.strip():
            of = _LINES.get(name, "")
            yield ("\n" if of and of == last else "\n\n") + _line(name, text)
            last = of


def _line(name: str, text: str) -> str:
    """A block's text so that Markdown reads it as what it is."""
    if name in _HEADINGS:
        return _HEADINGS[name] + text
    if name == "li":
        return f"- {text}"
    return re.sub(r"^(#|```)", r"\\\1", text, flags=re.MULTILINE)
