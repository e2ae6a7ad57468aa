"""Prompt files: optional YAML front matter, then Markdown in sections.

    ---
    description: Answers from the handbook.
    variables:
      company: {default: Trivet, description: who speaks}
    ---
    You speak for {{ company }}.

    <!-- user -->
    A question
    <!-- assistant -->
    Its answer

The marker lines are invisible where Markdown is shown. Text before any marker is the system text. Each section is
stripped of blanks around it. A raw prompt (`raw: true` in the front matter) has system text alone, or nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from trivet.errors import ConfigError
from trivet.excerpt import masked
from trivet.prompts.template.front_matter import NAME, FrontMatter, FrontMatterReader
from trivet.prompts.template.source import Placeholder, PromptSource, Role, Turn
from trivet.types.variant import VersionRef

_MARKER = re.compile(r"<!--\s*(system|user|assistant)\s*-->")
_BRACES = re.compile(r"\{\{([^{}]*)\}\}|\{\{")
_ROLES: dict[str, Role] = {"system": "system", "user": "user", "assistant": "assistant"}


def read_prompt(ref: VersionRef, path: Path) -> PromptSource:
    """Read one prompt file; raises ConfigError with one line `path:line: what, expected what` per problem."""
    try:
        text = path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ConfigError([f"{path}:{line}: byte {error.object[error.start]:#04x}, expected UTF-8 text"]) from None
    except OSError as error:
        raise ConfigError([f"{path}:1: {error.strerror or error}, expected a readable file"]) from None
    reader = _PromptParser(text.replace("\r\n", "\n").removeprefix("\ufeff"))
    source = reader.read(ref, path)
    if reader.problems:
        raise ConfigError([f"{path}:{line}: {masked(problem)}" for line, problem in sorted(reader.problems)])
    return source


@dataclass
class _Section:
    """The lines between two markers; `line` is the number of the first."""

    role: Role
    line: int
    lines: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "\n".join(self.lines).strip()

    @property
    def text_line(self) -> int:
        return self.line + next((i for i, line in enumerate(self.lines) if line.strip()), 0)


class _PromptParser:
    def __init__(self, text: str) -> None:
        self._lines = text.split("\n")
        self._used: dict[str, int] = {}
        self.problems: list[tuple[int, str]] = []

    def read(self, ref: VersionRef, path: Path) -> PromptSource:
        head, body_start = self._front_matter()
        turns = [self._turn(section) for section in self._sections(body_start, head.raw)]
        self._check_variables(head)
        return PromptSource(
            ref=ref,
            path=path,
            turns=tuple(turns),
            variables=MappingProxyType(head.variables),
            passages_header=head.passages_header,
            source_mark=head.source_mark,
            description=head.description,
            template_variables=head.template_variables,
            invocation=head.invocation,
            raw=head.raw,
        )

    def _front_matter(self) -> tuple[FrontMatter, int]:
        """What the head says, and the index of the first line after it."""
        if self._lines[0].rstrip() != "---":
            return FrontMatter(), 0
        for index, line in enumerate(self._lines[1:], start=1):
            if line.rstrip() == "---":
                reader = FrontMatterReader(first_line=2)
                head = reader.read("\n".join(self._lines[1:index]))
                self.problems += reader.problems
                return head, index + 1
        self.problems.append((1, "the front matter does not end, expected a second line `---`"))
        return FrontMatter(), 1

    def _sections(self, start: int, raw: bool) -> list[_Section]:
        """The sections in order, their order checked. The first is what stands before any marker, if anything does."""
        sections = [_Section("system", start + 1)]
        for number, line in enumerate(self._lines[start:], start=start + 1):
            if found := _MARKER.fullmatch(line.strip()):
                sections.append(_Section(_ROLES[found[1]], number + 1))
                continue
            if line.lstrip().startswith("<!--"):
                self.problems.append(
                    (number, "a comment, expected <!-- system -->, <!-- user --> or <!-- assistant -->")
                )
            sections[-1].lines.append(line)
        if not sections[0].text:
            del sections[0]
        self._check_order(sections, raw)
        return sections

    def _check_order(self, sections: list[_Section], raw: bool) -> None:
        turn = next((section for section in sections if section.role != "system"), None)
        if raw and turn is not None:
            self.problems.append(
                (turn.line, f"{turn.role} text in a raw prompt, expected system text alone, or nothing")
            )
            return
        if not sections and not raw:
            self.problems.append((len(self._lines), "no text, expected system text or few-shot turns"))
        expected: Role = "user"
        for place, section in enumerate(sections):
            if not section.text:
                self.problems.append((section.line, f"the {section.role} section is empty, expected text in it"))
            if section.role == "system":
                if place:
                    self.problems.append(
                        (section.line, "a system section after other text, expected it once and first")
                    )
                continue
            if section.role != expected:
                self.problems.append((section.line, f"{section.role} text, expected <!-- {expected} --> here"))
            expected = "assistant" if section.role == "user" else "user"
        if sections and expected == "assistant":
            self.problems.append((sections[-1].line, "user text without answer, expected <!-- assistant --> after it"))

    def _turn(self, section: _Section) -> Turn:
        pieces: list[str | Placeholder] = []
        text, end = section.text, 0
        line, counted = section.text_line, 0
        for found in _BRACES.finditer(text):
            name = (found[1] or "").strip()
            line += text.count("\n", counted, found.start())
            counted = found.start()
            if not NAME.fullmatch(name):
                shown = found[0].split("\n")[0]
                self.problems.append((line, f"{shown!r}, expected {{{{ name }}}}: variables are put in as they are"))
                continue
            self._used.setdefault(name, line)
            pieces += [text[end : found.start()], Placeholder(name)]
            end = found.end()
        pieces.append(text[end:])
        return Turn(section.role, tuple(piece for piece in pieces if piece != ""), section.text_line)

    def _check_variables(self, head: FrontMatter) -> None:
        for name, line in self._used.items():
            if name not in head.variables and not head.unclear:
                declared = f"`variables: {{{name}: {{}}}}` in the front matter, with a default if it has one"
                self.problems.append((line, f"variable {name!r} is not declared, expected {declared}"))
        for name, line in head.lines.items():
            if name not in self._used:
                self.problems.append((line, f"variable {name!r} is not used, expected {{{{ {name} }}}} in the text"))
