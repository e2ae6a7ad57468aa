"""The YAML head of a prompt file, read strictly: every unknown or wrong thing is a problem with its line."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, TypeVar

import yaml

from trivet import bounded_yaml
from trivet.excerpt import shortened
from trivet.prompts.template.source import DEFAULT_PASSAGES_HEADER, InvocationPlace, SourceMark, Variable
from trivet.types.text.template_variables import variable_problem

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_FIELDS = ("description", "invocation", "passages_header", "raw", "source_mark", "template_variables", "variables")
_Choice = TypeVar("_Choice", bound=Enum)
_STRING_TAG = "tag:yaml.org,2002:str"
_BOOL_TAG = "tag:yaml.org,2002:bool"


@dataclass
class FrontMatter:
    """What the head says. `lines` maps a variable's name to the line of the file that declares it.

    `unclear`: which variables it declares cannot be told.
    """

    description: str = ""
    passages_header: str = DEFAULT_PASSAGES_HEADER
    source_mark: SourceMark = SourceMark.NONE
    variables: dict[str, Variable] = field(default_factory=dict)
    template_variables: dict[str, Any] = field(default_factory=dict)
    invocation: InvocationPlace = InvocationPlace.GENERATION
    raw: bool = False
    lines: dict[str, int] = field(default_factory=dict)
    unclear: bool = False


class FrontMatterReader:
    """Reads one head; `problems` collects (line of the file, what is wrong and what was expected)."""

    def __init__(self, first_line: int) -> None:
        self._first_line = first_line
        self.problems: list[tuple[int, str]] = []

    def read(self, text: str) -> FrontMatter:
        """Read the YAML between the `---` lines; what cannot be read is left at its default and reported."""
        result = FrontMatter(unclear=True)
        try:
            root = bounded_yaml.compose(text, aliases=False)
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line if error.problem_mark else 0
            self.problems.append(
                (self._first_line + line, f"{error.problem or 'not YAML'}, expected YAML front matter")
            )
            return result
        except RecursionError:
            self.problems.append((self._first_line, "nested too deeply, expected YAML front matter"))
            return result
        except yaml.YAMLError as error:
            self.problems.append((self._first_line, f"{error}, expected YAML front matter"))
            return result
        result.unclear = False
        if root is None:
            return result
        for key, node in self._fields(root, "front matter"):
            match key:
                case "description":
                    result.description = self._string(key, node) or ""
                case "invocation":
                    result.invocation = self._choice(key, node, InvocationPlace, InvocationPlace.GENERATION)
                case "passages_header":
                    result.passages_header = self._header(node) or DEFAULT_PASSAGES_HEADER
                case "raw":
                    result.raw = self._flag(key, node)
                case "source_mark":
                    result.source_mark = self._choice(key, node, SourceMark, SourceMark.NONE)
                case "template_variables":
                    result.template_variables = self._template_variables(node)
                case "variables":
                    self._variables(node, result)
                case _:
                    self._report(node, f"unknown field {key!r}, expected one of {', '.join(_FIELDS)}")
        return result

    def _variables(self, node: yaml.Node, result: FrontMatter) -> None:
        if not isinstance(node, yaml.MappingNode):
            self._report(node, f"variables is not a mapping, expected {_declaration(_first_name(node))}")
            result.unclear = True
            return
        for name, body in self._fields(node, "variables"):
            if not NAME.fullmatch(name):
                self._report(body, f"variable {name!r}, expected a name of letters, digits and underscores")
                continue
            result.variables[name] = self._variable(name, body)
            result.lines[name] = self._line(body)

    def _variable(self, name: str, body: yaml.Node) -> Variable:
        if not isinstance(body, yaml.MappingNode):
            if not isinstance(body, yaml.ScalarNode) or body.value:
                value = body.value if isinstance(body, yaml.ScalarNode) else "..."
                self._report(body, f"variables.{name} is not a mapping, expected {_declaration(name, value)}")
            return Variable(name)
        default: str | None = None
        description = ""
        for key, value in self._fields(body, f"variables.{name}"):
            if key == "default":
                default = self._string(f"variables.{name}.default", value)
            elif key == "description":
                description = self._string(f"variables.{name}.description", value) or ""
            else:
                self._report(value, f"unknown field 'variables.{name}.{key}', expected default or description")
        return Variable(name, default, description)

    def _template_variables(self, node: yaml.Node) -> dict[str, Any]:
        """Any values that JSON knows."""
        values: dict[str, Any] = {}
        for name, body in self._fields(node, "template_variables"):
            if problem := variable_problem(name):
                self._report(body, f"template_variables: {problem}")
                continue
            try:
                values[name] = json.loads(json.dumps(yaml.SafeLoader("").construct_document(body), allow_nan=False))
            except (TypeError, ValueError, yaml.YAMLError, RecursionError):
                self._report(body, f"template_variables.{name}, expected a value that JSON knows")
        return values

    def _fields(self, node: yaml.Node, where: str) -> Iterator[tuple[str, yaml.Node]]:
        if not isinstance(node, yaml.MappingNode):
            self._report(node, f"{where} is not a mapping, expected `name: value` lines")
            return
        seen: set[str] = set()
        for key, value in node.value:
            name = str(key.value)
            if name in seen:
                self._report(key, f"{name!r} is given twice in {where}, expected once")
                continue
            seen.add(name)
            yield name, value

    def _string(self, field_path: str, node: yaml.Node) -> str | None:
        if isinstance(node, yaml.ScalarNode) and node.tag == _STRING_TAG:
            return str(node.value)
        self._report(node, f"{field_path} is not a string, expected text (quote numbers, dates, yes and no)")
        return None

    def _flag(self, key: str, node: yaml.Node) -> bool:
        if isinstance(node, yaml.ScalarNode) and node.tag == _BOOL_TAG:
            return str(node.value).lower() in ("true", "yes", "on")
        self._report(node, f"{key} is no truth value, expected true or false")
        return False

    def _header(self, node: yaml.Node) -> str | None:
        header = self._string("passages_header", node)
        if header is not None and (header != header.strip() or len(header.splitlines()) != 1):
            self._report(node, "passages_header, expected one line without blanks around it")
            return None
        return header

    def _choice(self, key: str, node: yaml.Node, choices: type[_Choice], default: _Choice) -> _Choice:
        name = self._string(key, node)
        known = {choice.value: choice for choice in choices}
        if name is not None and name not in known:
            self._report(node, f"{key} is {name!r}, expected one of {', '.join(known)}")
        return known.get(name or "", default)

    def _line(self, node: yaml.Node) -> int:
        return self._first_line + int(node.start_mark.line)

    def _report(self, node: yaml.Node, problem: str) -> None:
        self.problems.append((self._line(node), problem))


def _declaration(name: str, default: str = "...") -> str:
    """How a variable is declared."""
    quoted = yaml.dump(shortened(default, 60), default_style='"', width=1000).strip()
    return f"`variables: {{{name}: {{default: {quoted}}}}}`; without a default every request has to give it"


def _first_name(node: yaml.Node) -> str:
    """What the writer of a list or a text probably wanted to declare."""
    first = node.value[0] if isinstance(node, yaml.SequenceNode) and node.value else node
    value = str(first.value)
    return value if NAME.fullmatch(value) else "name"
