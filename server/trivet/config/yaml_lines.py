"""YAML with line numbers, so that a problem can be named by file, line and field."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from trivet import bounded_yaml
from trivet.config.places import known_fields, pattern_at
from trivet.config.wording import describe
from trivet.errors import ConfigError
from trivet.excerpt import masked, without

SectionT = TypeVar("SectionT", bound=BaseModel)


@dataclass
class YamlDocument:
    """Plain data, and the line (from 1) on which each of its fields stands."""

    path: Path
    data: Any
    lines: dict[tuple[str | int, ...], int] = field(default_factory=dict)

    def problem(self, location: Sequence[str | int], text: str) -> str:
        """`file:line: field: text`, with the line of the nearest enclosing field that exists; no secrets in it, even
        where they stand in a wrong place."""
        at = tuple(location)
        while at and at not in self.lines:
            at = at[:-1]
        name = ".".join(str(part) for part in location)
        told = without(masked(f"{name}: {text}" if name else text), self._texts_at(location))
        return f"{self.path}:{self.lines.get(at, 1)}: {told}"

    def _texts_at(self, location: Sequence[str | int]) -> Iterator[str]:
        """All text that stands there and below."""
        value = self.data
        for part in location:
            inner = isinstance(value, list) and isinstance(part, int) and 0 <= part < len(value)
            if not inner and not (isinstance(value, dict) and part in value):
                return
            value = value[part]
        stack = [value]
        while stack:
            value = stack.pop()
            if isinstance(value, str):
                yield value
            elif isinstance(value, dict | list):
                stack += [*value, *value.values()] if isinstance(value, dict) else value

    def count(self, location: Sequence[str | int]) -> int:
        """How many fields or items stand at `location`, right or wrong."""
        at = tuple(location)
        return sum(place[:-1] == at for place in self.lines if place)


def read_yaml(path: Path) -> YamlDocument:
    """Read one YAML file; ConfigError if it is missing, beyond the bounds, no YAML, or names a key twice."""
    document, problems = read_yaml_partly(path)
    if problems:
        raise ConfigError(problems)
    return document


def read_yaml_partly(path: Path) -> tuple[YamlDocument, list[str]]:
    """The same, but keys that are given twice are returned, one line for each: the last one stands."""
    try:
        if path.stat().st_size > bounded_yaml.MAX_BYTES:
            raise ConfigError([f"{path}:1: larger than {bounded_yaml.MAX_BYTES:,} bytes"])
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError([f"{path}:1: cannot be read: {error.strerror or error}"]) from error
    except UnicodeDecodeError as error:
        raise ConfigError([f"{path}:1: not UTF-8 text: byte {error.start + 1:,} is wrong"]) from error
    try:
        node = bounded_yaml.compose(text)
        document = YamlDocument(path, bounded_yaml.load(text))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark is not None else 1
        problem = str(getattr(error, "problem", None) or error).replace("'<stream end>'", "the end of the file")
        raise ConfigError([f"{path}:{line}: not valid YAML: {masked(problem)}"]) from error
    problems: list[str] = []
    if node is not None:
        _record_lines(node, (), document, problems)
    return document, problems


def parse(document: YamlDocument, model: type[SectionT]) -> SectionT:
    """The document as `model`; ConfigError with one line per problem."""
    found, problems = parse_partly(document, model)
    if found is None or problems:
        raise ConfigError(problems)
    return found


def parse_partly(
    document: YamlDocument, model: type[SectionT], lenient: type[SectionT] | None = None
) -> tuple[SectionT | None, list[str]]:
    """As much of the document as is right, and one line per problem of all of it.

    What is wrong is left out, with the section around it where that cannot be without it. `lenient` is the same model
    with nothing required at the top, for what remains; None if nothing does.
    """
    try:
        return model.model_validate(document.data), []
    except ValidationError as error:
        errors = error.errors()
    problems = [_problem(document, model, item) for item in errors]
    data = copy.deepcopy(document.data)
    while _without(data, [item["loc"] for item in errors]):
        try:
            return (lenient or model).model_validate(data), problems
        except ValidationError as error:
            errors = error.errors()
    try:
        return None if lenient is None else lenient.model_validate(data), problems
    except ValidationError:
        return None, problems


def _problem(document: YamlDocument, model: type[BaseModel], item: ErrorDetails) -> str:
    location = item["loc"]
    at: tuple[str | int, ...] = ()
    for position, part in enumerate(location):  # pydantic names the alternatives of a union too
        if (*at, part) in document.lines or position == len(location) - 1:
            at = (*at, part)
    if item["type"].startswith("union_tag_"):  # of a section that is one of several kinds: the field that says which
        at = (*at, item["ctx"]["discriminator"].strip("'"))
    known = known_fields(model, at[:-1]) if item["type"] == "extra_forbidden" else ()
    pattern = pattern_at(model, at) if item["type"] == "string_type" else None
    return document.problem(at, describe(item, at, known, pattern))


def _without(data: Any, locations: Sequence[Sequence[str | int]]) -> bool:
    """Take out what stands at these places, and of something that is missing, what it is missing in.

    False if nothing could be taken out.
    """
    found: dict[tuple[int, str | int], Any] = {}
    for location in locations:
        inner, target = data, None
        for part in location:
            inside = isinstance(inner, dict) and part in inner
            if inside or (isinstance(inner, list) and isinstance(part, int) and part < len(inner)):
                target = (inner, part)
                inner = inner[part]
        if target is not None:
            found[id(target[0]), target[1]] = target[0]
    for (_, key), container in sorted(found.items(), key=lambda item: str(item[0][1]).zfill(9), reverse=True):
        del container[key]  # of a list the last one first: the others keep their places
    return bool(found)


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
