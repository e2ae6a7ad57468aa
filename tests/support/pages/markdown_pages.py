"""The project's documents as Markdown: pages, headings with their anchors, links, tables and fenced blocks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = next(folder for folder in Path(__file__).resolve().parents if (folder / "pyproject.toml").exists())
_FENCE = re.compile(r"^( *)(`{3,}|~{3,})(.*)$")
_NOTE = re.compile(r"<!-- *([a-z ]+?)(?:: *(.*?))? *-->")
_LINK = re.compile(r"(?<!!)\[(?:[^\[\]]|\[[^\]]*\])*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#{1,6} +(.*?) *#*$")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block. `note`: the comment on the line before it, as (name, text): ("not run", "a GPU")."""

    page: Path
    line: int
    language: str
    text: str
    note: tuple[str, str]

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


@dataclass(frozen=True)
class Page:
    """One document."""

    path: Path

    @cached_property
    def lines(self) -> list[str]:
        """All lines."""
        return self.path.read_text().split("\n")

    @cached_property
    def blocks(self) -> list[Block]:
        """Its fenced blocks, in order."""
        return list(self._blocks())

    def _blocks(self) -> Iterator[Block]:
        opened: tuple[int, str, str] | None = None
        for number, line in enumerate(self.lines, start=1):
            found = _FENCE.match(line)
            if opened is None:
                if found:
                    opened = (number, found[2], found[3].strip())
            elif found and found[2].startswith(opened[1]) and not found[3].strip():
                start, _, language = opened
                before = next((text for text in reversed(self.lines[: start - 1]) if text.strip()), "")
                note = _NOTE.fullmatch(before.strip())
                text = "\n".join(self.lines[start : number - 1])
                yield Block(self.path, start, language, text, (note[1], note[2] or "") if note else ("", ""))
                opened = None
        assert opened is None, f"{self.path}: the block that begins in line {opened and opened[0]} does not end"

    @cached_property
    def prose(self) -> str:
        """The page without its fenced blocks and inline code; lines keep their numbers."""
        lines = list(self.lines)
        for block in self.blocks:
            for number in range(block.line - 1, block.line + block.text.count("\n") + 2):
                lines[number] = ""
        return re.sub(r"`[^`\n]+`", lambda code: "`" * len(code[0]), "\n".join(lines))

    @cached_property
    def headings(self) -> list[str]:
        """The text of each heading, Markdown and all."""
        shown = self.prose.split("\n")
        return [
            found[1] for line, text in zip(shown, self.lines, strict=True) if line and (found := _HEADING.match(text))
        ]

    @cached_property
    def anchors(self) -> set[str]:
        """What a link may name behind `#`, as GitHub makes it."""
        anchors: set[str] = set()
        for heading in self.headings:
            slug = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
            number = next(i for i in range(len(anchors) + 1) if (f"{slug}-{i}" if i else slug) not in anchors)
            anchors.add(f"{slug}-{number}" if number else slug)
        return anchors

    @cached_property
    def links(self) -> list[tuple[int, str]]:
        """(line, target) of each link."""
        return [(n, target) for n, line in enumerate(self.prose.split("\n"), 1) for target in _LINK.findall(line)]

    def rows(self) -> Iterator[tuple[str, list[str]]]:
        """(the nearest heading above, cells) of each row of each table, heads included."""
        heading = ""
        for line, text in zip(self.prose.split("\n"), self.lines, strict=True):
            if line and (found := _HEADING.match(text)):
                heading = found[1]
            if line.startswith("|"):
                yield heading, [cell.strip() for cell in re.split(r"(?<!\\)\|", text.strip()[1:-1])]


def pages() -> list[Page]:
    """Every document that readers are sent to."""
    found = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("benchmarks/results/*.md")]
    found += [*ROOT.glob("examples/**/*.md"), *ROOT.glob("clients/**/README.md"), *ROOT.glob("models/demo/README.md")]
    return [Page(path) for path in sorted(found) if "node_modules" not in path.parts and ".venv" not in path.parts]
