"""Debian's manuals as corpora: their HTML pages as they are, and questions whose answers were fixed first.

Nothing of them is in this repository. The packages come from the mirror that the machine's apt is configured with, are
unpacked beside, not installed, and kept in a cache folder.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.searching.debian import unpacked
from trivet.types.passage import Document, DocumentFormat

_QUESTIONS = Path(__file__).parent / "questions"
LISTED = ("list", "table", "terms", "items")  # kinds of questions whose answer stands in a table or a list
_LETTERS = re.compile(r"[^0-9a-z]+")
_TITLE = re.compile(r"<title[^>]*>(.*?)</title>", re.DOTALL)
_BODY = re.compile(r"<body[^>]*>(.*)</body>", re.DOTALL)
_END = re.compile(r"</(p|h\d|li|td|th|tr|dt|dd|pre|title|div)>")
_TAG = re.compile(r"<[^>]*>")


@dataclass(frozen=True, slots=True)
class Answer:
    """A page, and what a passage of it contains that answers; compared by letters and digits alone."""

    page: str
    says: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Question:
    """A question, or a name alone. `kind`: "list" (the answer stands in a table or a list of terms; where they are told
    apart "table", "terms" and "items"), "name", "near" (in words of the manual), "paraphrase" (in others). Any of
    `answers` is right."""

    kind: str
    text: str
    answers: tuple[Answer, ...]

    def on_page(self, page: str) -> bool:
        """Whether this is a page with an answer."""
        return any(answer.page == page for answer in self.answers)

    def answered_by(self, page: str, text: str) -> bool:
        """Whether the passage itself says it."""
        letters = _letters(text)
        return any(
            answer.page == page and all(_letters(said) in letters for said in answer.says) for answer in self.answers
        )


@dataclass(frozen=True, slots=True)
class Manual:
    """One manual. `package`: Debian's; `pages`: a pattern of its files; `asked`: the file of its questions."""

    name: str
    package: str
    pages: str
    asked: str

    def questions(self) -> list[Question]:
        """All of them, in the file's order."""
        read = map(json.loads, (_QUESTIONS / self.asked).read_text("utf-8").splitlines())
        return [
            Question(one["kind"], one["question"], tuple(Answer(a["page"], tuple(a["says"])) for a in one["answers"]))
            for one in read
        ]

    def documents(self, folder: Path) -> list[Document]:
        """Its pages as HTML, fetched into `folder` if need be; raises Unavailable."""
        found = sorted(unpacked(self.package, folder).glob(self.pages))
        return [Document(path.stem, path.read_bytes(), DocumentFormat.HTML) for path in found]


MANUALS = {
    manual.name: manual
    for manual in (
        Manual(
            "installation-guide",
            "installation-guide-amd64",
            "usr/share/doc/installation-guide-amd64/en/*.html",
            "installation_guide.jsonl",
        ),
        Manual("reference", "debian-reference-en", "usr/share/debian-reference/*.en.html", "reference.jsonl"),
        Manual("aptitude", "aptitude-doc-en", "usr/share/doc/aptitude/html/en/*.html", "aptitude.jsonl"),
        Manual("bind", "bind9-doc", "usr/share/doc/bind9-doc/arm/*.html", "bind.jsonl"),
    )
}


def flattened(documents: Iterable[Document]) -> list[Document]:
    """The same pages without structure: tags taken out, what they end as lines, the title as it is."""
    plain = []
    for document in documents:
        markup = document.content.decode("utf-8", "replace")
        title, body = _TITLE.search(markup), _BODY.search(markup)
        lines = _END.sub("\n", "" if body is None else body[1])
        whole = (" ".join(one.split()) for one in _text(lines).split("\n"))
        text = "\n".join(line for line in whole if line)
        heading = "" if title is None else " ".join(_text(title[1]).split())
        plain.append(Document(document.id, text.encode(), DocumentFormat.TEXT, title=heading))
    return plain


def _text(markup: str) -> str:
    return html.unescape(_TAG.sub(" ", markup))


def _letters(text: str) -> str:
    return _LETTERS.sub("", text.lower())
