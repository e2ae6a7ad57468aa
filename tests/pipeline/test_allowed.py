"""What a route does not allow is refused, field by field, and what it allows is not."""

from __future__ import annotations

from typing import Any

import pytest

from trivet.errors import InvalidRequest
from trivet.pipeline.allowed import require_allowed
from trivet.types.request import GenerateCall, Message, Tool, ToolCall
from trivet.types.variant import Route

ASKED = (Message("user", "x"),)
CASES: list[tuple[dict[str, Any], str, str]] = [
    ({"top_p": 0.5}, "top_p", "top_p"),
    ({"top_k": 1}, "top_k", "top_k"),
    ({"min_p": 0.0}, "min_p", "min_p"),
    ({"presence_penalty": 0.0}, "presence_penalty", "presence_penalty"),
    ({"frequency_penalty": 1.0}, "frequency_penalty", "frequency_penalty"),
    ({"repetition_penalty": 1.0}, "repetition_penalty", "repetition_penalty"),
    ({"top_logprobs": 0}, "logprobs", "top_logprobs"),
    ({"n": 2}, "n", "n"),
    ({"template_variables": {"enable_thinking": False}}, "template_variables", "template_variables"),
    ({"tools": (Tool("f"),)}, "tools", "tools"),
    ({"messages": (Message("system", "x"), *ASKED)}, "system", "messages[0].role"),
    ({"messages": (*ASKED, Message("assistant", "", tool_calls=(ToolCall("f"),)), *ASKED)}, "tools", "messages[1]"),
    ({"messages": (*ASKED, Message("tool", "x"))}, "tools", "messages[1]"),
]


def call(**fields: Any) -> GenerateCall:
    return GenerateCall(**{"request_id": "1", "tenant": "t", "route": "r", "messages": ASKED, "arrived": 0.0, **fields})


def route(*allow: str) -> Route:
    return Route("r", {}, {}, "salt", allow=frozenset(allow))


@pytest.mark.parametrize(("fields", "name", "at"), CASES)
def test_what_a_route_does_not_allow_is_refused(fields: dict[str, Any], name: str, at: str) -> None:
    others = {other for _, other, _ in CASES} - {name}
    with pytest.raises(InvalidRequest) as refused:
        require_allowed(call(**fields), route(*others))
    assert set(refused.value.fields) == {at}
    assert repr(name) in refused.value.fields[at]
    require_allowed(call(**fields), route(name))


def test_a_usual_request_needs_nothing() -> None:
    require_allowed(call(temperature=0.5, max_tokens=3, seed=1, stop=("x",), n=1), route())
