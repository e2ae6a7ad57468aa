"""reStructuredText into sections of plain text, as far as documentation written for Sphinx needs it.

A section is what stands under one heading, down to the next heading of any level. Descriptions of functions, classes
and the like stay in their section; where each begins is noted, so that a test can ask for it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_ADORNMENT = re.compile(r"""^([-=`:'"~^_*+#<>.])\1{2,}\s*$""")
_DIRECTIVE = re.compile(r"^(\s*)\.\. ([\w:+-]+)::\s?(.*)$")
_EXPLICIT = re.compile(r"^(\s*)\.\.(\s|$)")
_OPTION = re.compile(r"^\s+:[\w-]+:(\s|$)")
_FIELD = re.compile(r"^:[\w-]+:(\s|$)")  # of a whole page, before its first heading
_ROLE = re.compile(r":[\w:+-]+:`([^`]+)`")
_TARGET = re.compile(r"^(.*?)\s*<[^<>]*>$", re.DOTALL)
_LINK = re.compile(r"`([^`<]*?)\s*<[^>`]*>`__?")
_QUOTED = re.compile(
    r"``(.+?)``|`([^`]+)`_?|\*\*([^*\s](?:[^*\n]*[^*\s])?)\*\*|(?<![\w*])\*([^*\s](?:[^*\n]*[^*\s])?)\*(?![\w*])"
)
_STAR = "\x01"  # of a signature: no markup
_SUBSTITUTED = re.compile(r"\|([\w-]+)\|")

DESCRIPTIONS = {
    name for domain in ("", "py:") for name in (
        f"{domain}function", f"{domain}class", f"{domain}method", f"{domain}classmethod", f"{domain}staticmethod",
        f"{domain}exception", f"{domain}data", f"{domain}attribute", f"{domain}decorator",
        f"{domain}coroutinefunction", f"{domain}coroutinemethod", f"{domain}abstractmethod", f"{domain}property",
    )
} | {f"c:{kind}" for kind in ("function", "type", "macro", "var", "member", "struct", "enum", "enumerator")} | {
    "cmdoption", "option", "envvar", "opcode", "pdbcommand", "describe", "2to3fixer", "awaitablefunction",
    "awaitablemethod",
}  # fmt: skip
# Their content is not for readers, or is shown elsewhere.
_DROPPED = {
    "index", "contents", "toctree", "image", "figure", "sectionauthor", "moduleauthor", "highlight", "only", "program",
    "module", "currentmodule", "py:module", "py:currentmodule", "default-domain", "testsetup", "testcleanup", "raw",
    "tabularcolumns", "include", "literalinclude", "audit-event", "audit-event-table", "miscnews", "testoutput",
    "limited-api-list",
}  # fmt: skip
_WORDS = {
    "versionadded": "New in version", "versionchanged": "Changed in version", "deprecated": "Deprecated since version",
    "deprecated-removed": "Deprecated since version", "note": "Note", "warning": "Warning", "seealso": "See also",
    "availability": "Availability", "impl-detail": "CPython implementation detail", "rubric": "", "topic": "",
    "attention": "Attention", "caution": "Caution", "danger": "Danger", "important": "Important", "tip": "Tip",
    "hint": "Hint", "todo": "To do", "admonition": "",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Description:
    """A function, class or the like that a section describes: its kind, its name with the class it is in, and its
    signature's line as it stands in the section's text."""

    kind: str
    name: str
    line: str


@dataclass(frozen=True, slots=True)
class Section:
    """Text under one heading. `path`: this heading and those above it, outermost first. `n`: its place in the page."""

    page: str
    n: int
    path: tuple[str, ...]
    text: str
    descriptions: tuple[Description, ...]

    @property
    def id(self) -> str:
        """Unique in the corpus."""
        return f"{self.page}/{self.n}"


def sections(page: str, source: str) -> list[Section]:
    """The sections of one file that have a text of their own."""
    lines = source.expandtabs(8).splitlines()
    found: list[Section] = []
    path: list[str] = []
    for n, (level, title, body) in enumerate(_headed(lines)):
        path = [*path[:level], inline(title)] if title else []
        text, descriptions = _Reader(body if title else [line for line in body if not _FIELD.match(line)]).read()
        if text:
            found.append(Section(page, n, tuple(path), text, descriptions))
    return found


def inline(text: str) -> str:
    """Text without inline markup: roles and links become what a reader sees."""

    def role(match: re.Match[str]) -> str:
        inside = match.group(1).lstrip("!")
        target = _TARGET.match(inside)
        if target is not None and target.group(1):
            return target.group(1)
        return inside[1:].rpartition(".")[2] if inside.startswith("~") else inside

    text = _ROLE.sub(role, text)
    text = _LINK.sub(r"\1", text)
    text = _QUOTED.sub(lambda match: next(group for group in match.groups() if group is not None), text)
    return _SUBSTITUTED.sub(r"\1", text).replace("\\ ", "").replace("\\", "")


def _headed(lines: Sequence[str]) -> Iterator[tuple[int, str, list[str]]]:
    """(level from 0, title, lines below it) for each heading; first, with level 0 and no title, what is before any."""
    styles: list[tuple[str, bool]] = []
    level, title, body = 0, "", list[str]()
    i = 0
    while i < len(lines):
        heading = _heading(lines, i)
        if heading is None:
            body.append(lines[i])
            i += 1
            continue
        yield level, title, body
        style, title, length = heading
        if style not in styles:
            styles.append(style)
        level, body = styles.index(style), []
        i += length
    yield level, title, body


def _heading(lines: Sequence[str], i: int) -> tuple[tuple[str, bool], str, int] | None:
    """Style, title and number of lines of the heading that begins at line `i`."""
    line = lines[i]
    over = _ADORNMENT.match(line)
    if over is not None:
        if i + 2 < len(lines) and lines[i + 1].strip() and lines[i + 2].rstrip() == line.rstrip():
            return (over.group(1), True), lines[i + 1].strip(), 3
        return None
    if not line.strip() or line[0].isspace() or i + 1 >= len(lines):
        return None
    under = _ADORNMENT.match(lines[i + 1])
    first = i == 0 or not lines[i - 1].strip() or lines[i - 1].startswith("..")
    if under is None or not first or len(lines[i + 1].rstrip()) < 0.8 * len(line.rstrip()):
        return None
    return (under.group(1), False), line.strip(), 2


class _Reader:
    """One section's lines into text."""

    def __init__(self, lines: Sequence[str]) -> None:
        self._lines = lines
        self._at = 0
        self._text: list[str] = []
        self._descriptions: list[Description] = []
        self._around: list[tuple[int, str]] = []  # indentation and name of the classes that we are in

    def read(self) -> tuple[str, tuple[Description, ...]]:
        """The text and what it describes."""
        while self._at < len(self._lines):
            line = self._lines[self._at]
            directive = _DIRECTIVE.match(line)
            if directive is not None:
                self._directive(len(directive.group(1)), directive.group(2), directive.group(3))
            elif _EXPLICIT.match(line):  # a target, a comment, a footnote
                self._skip(_indent(line))
            else:
                self._text.append(line)
                self._at += 1
        text = inline("\n".join(_without_colons(self._text))).replace(_STAR, "*")
        return re.sub(r"\n{3,}", "\n\n", text).strip(), tuple(self._descriptions)

    def _directive(self, indent: int, name: str, argument: str) -> None:
        arguments = self._head(indent, argument)
        if name in DESCRIPTIONS:
            self._describe(indent, name, arguments)
        elif name in _DROPPED:
            self._skip(indent, begun=True)
        elif name in _WORDS:
            words = " ".join(part for part in (_WORDS[name], " ".join(arguments)) if part)
            self._text += ["", " " * indent + words + (":" if _WORDS[name] else "")]
        # The rest (code blocks, tables, doctests, parsed literals): the content is text, the argument is for a machine.

    def _head(self, indent: int, argument: str) -> list[str]:
        """The directive's arguments; then we are behind it and its options."""
        arguments = [argument.strip()] if argument.strip() else []
        self._at += 1
        while self._at < len(self._lines):
            line = self._lines[self._at]
            if not line.strip() or _indent(line) <= indent:
                break
            if not _OPTION.match(line):
                if not arguments and not argument:
                    break
                arguments.append(line.strip())
            self._at += 1
        return arguments

    def _describe(self, indent: int, kind: str, signatures: Sequence[str]) -> None:
        while self._around and self._around[-1][0] >= indent:
            self._around.pop()
        joined = " ".join(signatures).replace("\\ ", "")
        whole = [joined] if any(part.endswith(("\\", ",")) for part in signatures[:-1]) else list(signatures)
        self._text.append("")
        for signature in whole:
            line = " ".join(signature.replace("\\", "").split())
            self._text.append(" " * indent + line.replace("*", _STAR))
            name = re.split(r"[\s(=]", line, maxsplit=1)[0] if not kind.startswith("c:") else _c_name(line)
            around = self._around[-1][1] + "." if self._around else ""
            self._descriptions.append(Description(kind, name if "." in name else around + name, line))
        if kind.rpartition(":")[2] in ("class", "exception") and self._descriptions:
            self._around.append((indent, self._descriptions[-1].name))

    def _skip(self, indent: int, *, begun: bool = False) -> None:
        """Past an explicit block: its line, if it has not `begun`, and what is indented deeper."""
        if not begun:
            self._at += 1
        while self._at < len(self._lines):
            line = self._lines[self._at]
            if line.strip() and _indent(line) <= indent:
                return
            self._at += 1


def _c_name(signature: str) -> str:
    """`PyObject *PyList_New(Py_ssize_t len)` -> `PyList_New`."""
    return re.split(r"[\s*]", signature.partition("(")[0].strip())[-1]


def _without_colons(lines: Sequence[str]) -> Iterator[str]:
    """A paragraph's `::` announces a literal block: readers see one colon, or none."""
    for line in lines:
        bare = line.rstrip()
        if bare.strip() == "::":
            continue
        yield bare[:-1] if bare.endswith("::") else bare


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())
