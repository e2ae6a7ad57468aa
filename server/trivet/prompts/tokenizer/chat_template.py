"""Chat templates, rendered as Hugging Face does, without importing transformers.

Importing transformers costs eleven seconds and brings torch; a template needs a jinja2 sandbox with four additions (the
`generation` tag, loop controls, `tojson`, `raise_exception` and `strftime_now`), as transformers documents for template
writers. The tests compare with `PreTrainedTokenizerFast.apply_chat_template`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from jinja2 import TemplateError, nodes
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment


class TemplateRefusal(Exception):
    """The template raised: it does not take this sequence of messages."""


class ChatTemplate:
    """One compiled template.

    `today` is what `strftime_now` answers for ever: a template that writes the real date into the system turn would
    make every prefix stale at midnight, on each gateway at its own time. A prompt that wants the date has variables.
    """

    def __init__(self, source: str, special_tokens: Mapping[str, str], today: datetime) -> None:
        """Raises ValueError if it is not a template."""
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=[_GenerationTag, "jinja2.ext.loopcontrols"]
        )
        environment.filters["tojson"] = _to_json
        environment.globals["raise_exception"] = _raise_exception
        environment.globals["strftime_now"] = today.strftime
        try:
            self._template = environment.from_string(source)
        except TemplateError as error:
            raise ValueError(f"not a Jinja template: {error}") from None
        self._special_tokens = dict(special_tokens)

    def render(self, messages: Sequence[tuple[str, str]]) -> str:
        """(role, content) pairs to text that ends where the answer begins; raises TemplateRefusal."""
        try:
            return self._template.render(
                messages=[{"role": role, "content": content} for role, content in messages],
                tools=None,
                documents=None,
                add_generation_prompt=True,
                **self._special_tokens,
            )
        except Exception as error:  # templates compute: beside their own refusals, anything can be raised
            raise TemplateRefusal(str(error)) from None


class _GenerationTag(Extension):
    """`{% generation %}` marks an assistant's text for training; here it stands for its body."""

    tags = {"generation"}  # noqa: RUF012 (jinja2's own interface)

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _raise_exception(message: str) -> None:
    raise TemplateError(message)


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)
