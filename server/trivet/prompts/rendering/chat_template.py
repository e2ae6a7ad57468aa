"""Chat templates, rendered as Hugging Face does, without importing transformers.

Importing transformers costs eleven seconds and brings torch. The tests compare with
`PreTrainedTokenizerFast.apply_chat_template`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from jinja2 import TemplateError

from trivet.prompts.rendering.environment import TemplateEnvironment
from trivet.prompts.rendering.provenance import TRUSTED, Text, spans_of

_MOST_TIMES = 16  # a rendering has at most so many times the characters that were put in,
_MOST_OWN = 1 << 20  # and so many of the template's own
_MOST_FORMATS = 16  # of dates: a template has a few, unless it makes them of what a client says


class TemplateRefusal(Exception):
    """The template raised: it does not take this sequence of messages."""


@dataclass(frozen=True, slots=True)
class Moment:
    """When a prompt is made, as far as the template can tell: moments with the same `dates` are equal."""

    dates: tuple[str, ...]
    now: datetime = field(compare=False)


@dataclass(frozen=True, slots=True)
class Switches:
    """Variables of the template, such as `enable_thinking`: JSON objects as text. What a client asks for is `asked`.

    Strings of the operator's are trusted as the template itself is, those of a client are not.
    """

    own: str = "{}"
    asked: str = "{}"

    @classmethod
    def of(cls, own: Mapping[str, Any], asked: Mapping[str, Any] | None = None) -> Switches:
        """From values that JSON knows."""
        return cls(json.dumps(dict(own), sort_keys=True), json.dumps(dict(asked or {}), sort_keys=True))

    @property
    def plain(self) -> dict[str, Any]:
        """By name; the client's take precedence."""
        return {} if self == NO_SWITCHES else {**json.loads(self.own), **json.loads(self.asked)}

    def values(self) -> dict[str, Any]:
        """The same, as a template is given them."""
        return {**_marked(json.loads(self.own), trusted=True), **_marked(json.loads(self.asked), trusted=False)}


NO_SWITCHES = Switches()


class ChatTemplate:
    """One compiled template. Immutable but for `formats`; safe to share between threads."""

    def __init__(self, source: str, special_tokens: Mapping[str, str]) -> None:
        """Raises ValueError if it is not a template."""
        try:
            self._template = TemplateEnvironment().from_string(source)
        except TemplateError as error:
            raise ValueError(f"not a Jinja template: {error}") from None
        self._special_tokens = {name: Text.trusted(token) for name, token in special_tokens.items()}
        self._formats: tuple[str, ...] = ()  # replaced, never changed: other threads read it

    def moment(self, now: datetime) -> Moment:
        """What the template would write of this date: nothing as long as it has not asked for one."""
        return Moment(tuple(now.strftime(wanted) for wanted in self._formats), now)

    def render(
        self,
        messages: Sequence[Mapping[str, Any]],
        moment: Moment,
        switches: Switches = NO_SWITCHES,
        tools: Sequence[Mapping[str, Any]] = (),
    ) -> Text:
        """To text that ends where the answer begins; raises TemplateRefusal.

        `messages` as transformers takes them. What shall not become a control token is `Text` or an ordinary string.
        """

        def strftime_now(wanted: str) -> Text:
            plain = "".join((wanted,))
            if plain not in self._formats and len(self._formats) < _MOST_FORMATS:
                self._formats = (*self._formats, plain)
            told = moment.now.strftime(plain)
            own = all(source == TRUSTED for _, source, _ in spans_of(wanted))
            return Text.trusted(told) if own else Text(told)

        try:
            rendered = self._template.render(
                **self._special_tokens,
                **{name: value for name, value in switches.values().items() if name not in self._special_tokens},
                messages=list(messages),
                tools=list(tools) or None,
                documents=None,
                add_generation_prompt=True,
                strftime_now=strftime_now,
            )
        except Exception as error:  # templates compute: beside their own refusals, anything can be raised
            raise TemplateRefusal(str(error)) from None
        given = sum(map(_size, messages))
        made = str.__len__(rendered)
        if made > _MOST_OWN + _MOST_TIMES * given:
            raise TemplateRefusal(f"it makes {made:,} characters of {given:,}")
        return rendered if isinstance(rendered, Text) else Text(rendered)


def _size(message: Mapping[str, Any]) -> int:
    """Characters of its content. Asked of `str`: a text that is watched would take it for the template's question."""
    content = message["content"]
    texts = [content] if isinstance(content, str) else [part["text"] for part in content]
    return sum(map(str.__len__, texts))


def _marked(value: Any, *, trusted: bool) -> Any:
    """The value with its strings trusted or not."""
    match value:
        case str():
            return Text.trusted(value) if trusted else Text(value)
        case list():
            return [_marked(item, trusted=trusted) for item in value]
        case dict():
            return {name: _marked(item, trusted=trusted) for name, item in value.items()}
    return value
