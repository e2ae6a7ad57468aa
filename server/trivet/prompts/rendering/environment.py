"""Jinja's sandbox with what transformers adds for chat templates, in which text keeps its provenance.

Four additions are transformers' own, as it documents them for template writers: the `generation` tag, loop controls,
`tojson`, `raise_exception` and `strftime_now`. The rest makes Jinja's generated code mark the template's literals as
trusted, and keep the marks where text is joined (see `provenance`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

from jinja2 import TemplateError, nodes
from jinja2.compiler import CodeGenerator, Frame
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from trivet.prompts.rendering.provenance import Text, concatenated, joined
from trivet.prompts.rendering.watched_text import watching


class TemplateEnvironment(ImmutableSandboxedEnvironment):
    """Compiles templates whose renderings are `Text`. `strftime_now` is given to each rendering by itself."""

    def __init__(self) -> None:
        super().__init__(trim_blocks=True, lstrip_blocks=True, extensions=[_GenerationTag, "jinja2.ext.loopcontrols"])
        self.code_generator_class = _TrustingCodeGenerator
        self.concat = _concat  # type: ignore[method-assign]
        self.filters = {name: watching(name, filter_) for name, filter_ in self.filters.items()}
        self.filters |= {"tojson": _to_json, "join": _join}
        tests: dict[str, Callable[..., Any]] = dict(self.tests)  # type: ignore[arg-type]
        watched = {name: test if name in _PLAIN_TESTS else watching(name, test) for name, test in tests.items()}
        self.tests = {**watched, **{name: _string_or(watched[name]) for name in ("iterable", "sequence")}}
        self.globals["raise_exception"] = _raise_exception

    @staticmethod
    def literal(text: str) -> Text:
        """What generated code calls for each literal of the template."""
        return Text.trusted(text)

    @staticmethod
    def tilde(values: Iterable[Any]) -> Text:
        """What generated code calls for `a ~ b`."""
        return concatenated(map(str, values))


_PLAIN_TESTS = frozenset({"defined", "undefined", "none", "string", "mapping", "number", "boolean", "integer", "float",
                          "true", "false", "sameas", "callable", "eq", "==", "equalto", "ne", "!=", "in"})  # fmt: skip


class _TrustingCodeGenerator(CodeGenerator):
    """Writes `environment.literal("...")` where Jinja's own writes `"..."`."""

    def visit_Const(self, node: nodes.Const, frame: Frame) -> None:
        value = node.as_const(frame.eval_ctx)
        if isinstance(value, str):
            self.write(f"environment.literal({''.join((value,))!r})")
        else:
            super().visit_Const(node, frame)

    def visit_TemplateData(self, node: nodes.TemplateData, frame: Frame) -> None:
        self.write(f"environment.literal({node.data!r})")

    def visit_Concat(self, node: nodes.Concat, frame: Frame) -> None:
        self.write("environment.tilde((")
        for argument in node.nodes:
            self.visit(argument, frame)
            self.write(", ")
        self.write("))")

    def _output_const_repr(self, group: Iterable[Any]) -> str:
        return f"environment.literal({''.join(map(str, group))!r})"


class _GenerationTag(Extension):
    """`{% generation %}` marks an assistant's text for training; here it stands for its body."""

    tags = {"generation"}  # noqa: RUF012 (jinja2's own interface)

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _concat(pieces: Iterable[str]) -> Text:
    return concatenated(pieces)


def _join(value: Iterable[Any], d: str = "", attribute: str | int | None = None) -> Text:
    if attribute is not None:
        value = [item[attribute] for item in value]
    return joined(str(d), (item if isinstance(item, str) else str(item) for item in value))


def _string_or(test: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, str) or test(value)


def _raise_exception(message: str) -> None:
    raise TemplateError("".join((message,)))


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)
