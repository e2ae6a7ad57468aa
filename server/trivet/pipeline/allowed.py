"""What a request may ask for beside the usual: that which its route allows."""

from __future__ import annotations

from trivet.errors import InvalidRequest
from trivet.types.request import GenerateCall
from trivet.types.variant import AdapterBy, Route

_SAMPLING = ("top_p", "top_k", "min_p", "presence_penalty", "frequency_penalty", "repetition_penalty")


def require_allowed(call: GenerateCall, route: Route) -> None:
    """Raise InvalidRequest naming each field that the route does not allow."""
    asked = {name: name for name in _SAMPLING if getattr(call, name) is not None}
    if call.template_variables:
        asked["template_variables"] = "template_variables"
    if call.top_logprobs is not None:
        asked["top_logprobs"] = "logprobs"
    if call.n > 1:
        asked["n"] = "n"
    if call.tools:
        asked["tools"] = "tools"
    for position, message in enumerate(call.messages):
        if message.role == "system":
            asked[f"messages[{position}].role"] = "system"
        elif message.role == "tool" or message.tool_calls:
            asked[f"messages[{position}]"] = "tools"
    wrong = _adapter(call, route) | {
        field: f"route {route.name} does not allow it, expected {name!r} in its `allow`"
        for field, name in asked.items()
        if name not in route.allow
    }
    if wrong:
        raise InvalidRequest(wrong)


def _adapter(call: GenerateCall, route: Route) -> dict[str, str]:
    """A request may name an adapter where all variants leave the choice to it; the choice itself comes later."""
    choices = [variant.adapter_choice for variant in route.variants.values()]
    if not call.adapter or all(choice is not None and choice.by is AdapterBy.REQUEST for choice in choices):
        return {}
    return {"adapter": f"route {route.name} does not leave the choice to requests (`adapter: {{by: request, ...}}`)"}
