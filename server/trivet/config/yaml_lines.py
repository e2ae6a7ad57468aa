"""YAML with line numbers, so that a problem can be named by file, line and field."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from trivet import bounded_yaml
from trivet.errors import ConfigError

SectionT = TypeVar("SectionT", bound=BaseModel)


@dataclass
class YamlDocument:
    """Plain data, and the line (from 1) on which each of its fields stands."""

    path: Path
    data: Any
    lines: dict[tuple[str | int, ...], int] = field(default_factory=dict)

    def problem(self, location: Sequence[str | int], text: str) -> str:
        """`file:line: field: text`, with the line of the nearest enclosing field that exists."""
        at = tuple(location)
        while at and at not in self.lines:
            at = at[:-1]
        name = ".".join(str(part) for part in location) or "(file)"
        return f"{self.path}:{self.lines.get(at, 1)}: {name}: {text}"


def read_yaml(path: Path) -> YamlDocument:
    """Read one YAML file; ConfigError if it is missing, beyond the bounds, no YAML, or names a key twice."""
    try:
        if path.stat().st_size > bounded_yaml.MAX_BYTES:
            raise ConfigError([f"{path}:1: (file): larger than {bounded_yaml.MAX_BYTES} bytes"])
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError([f"{path}:1: (file): cannot be read: {error}"]) from error
    try:
        node = bounded_yaml.compose(text)
        document = YamlDocument(path, bounded_yaml.load(text))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark is not None else 1
        problem = getattr(error, "problem", None) or error
        raise ConfigError([f"{path}:{line}: (file): not valid YAML: {problem}"]) from error
    problems: list[str] = []
    if node is not None:
        _record_lines(node, (), document, problems)
    if problems:
        raise ConfigError(problems)
    return document


def parse(document: YamlDocument, model: type[SectionT]) -> SectionT:
    """The document as `model`; ConfigError with one line per problem."""
    try:
        return model.model_validate(document.data)
    except ValidationError as error:
        problems = []
        for item in error.errors():
            text = item["msg"][0].lower() + item["msg"][1:]
            if item["type"] == "extra_forbidden":
                text = "unknown field"
            elif item["type"] not in {"missing", "model_type"}:
                text += f", got {item['input']!r}"[:200]
            problems.append(document.problem(item["loc"], text))
        raise ConfigError(problems) from error


def _record_lines(
    node: yaml.Node, location: tuple[str | int, ...], document: YamlDocument, problems: list[str]
) -> None:
    document.lines.setdefault(location, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key_node, value_node in node.value:
            key = str(key_node.value)
            at = (*location, key)
            document.lines[at] = key_node.start_mark.line + 1
            if key in seen:
                # PyYAML would silently keep the last one.
                problems.append(document.problem(at, "given twice"))
            seen.add(key)
            _record_lines(value_node, at, document, problems)
    elif isinstance(node, yaml.SequenceNode):
        for position, item in enumerate(node.value):
            _record_lines(item, (*location, position), document, problems)
