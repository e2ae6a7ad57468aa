"""What a request may ask for beside the usual: that which its route allows."""

from __future__ import annotations

from trivet.errors import InvalidRequest
from trivet.types.request import GenerateCall
from trivet.types.variant import Route

_SAMPLING = ("top_p", "top_k", "min_p", "presence_penalty", "frequency_penalty", "repetition_penalty")


def require_allowed(call: GenerateCall, route: Route) -> None:
    """Raise InvalidRequest naming each field that the route does not allow."""
    asked = {name: name for name in _SAMPLING if getattr(call, name) is not None}
    if call.template_variables:
        asked["template_variables"] = "template_variables"
    if call.tools:
        asked["tools"] = "tools"
    for position, message in enumerate(call.messages):
        if message.role == "system":
            asked[f"messages[{position}].role"] = "system"
        elif message.role == "tool" or message.tool_calls:
            asked[f"messages[{position}]"] = "tools"
    wrong = {
        field: f"route {route.name} does not allow it, expected {name!r} in its `allow`"
        for field, name in asked.items()
        if name not in route.allow
    }
    if wrong:
        raise InvalidRequest(wrong)
