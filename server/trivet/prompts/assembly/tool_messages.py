"""Tools, their calls and thoughts, in the form that chat templates take them in.

The form is that of transformers: https://huggingface.co/docs/transformers/chat_extras. All of it is a client's text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from trivet.types.request import Message, Tool, ToolCall


def tool_schemas(tools: Sequence[Tool]) -> tuple[Mapping[str, Any], ...]:
    """As `apply_chat_template(tools=...)` takes them."""
    return tuple(
        {
            "type": "function",
            "function": {"name": tool.name, "description": tool.description, "parameters": dict(tool.parameters)},
        }
        for tool in tools
    )


def other_fields(message: Message) -> dict[str, Any]:
    """What a message holds beside its role and its content. Templates disagree on what a thought is called."""
    others: dict[str, Any] = {}
    if message.reasoning:
        others |= dict.fromkeys(("reasoning_content", "reasoning", "thinking"), message.reasoning)
    if message.tool_calls:
        others["tool_calls"] = [_call(call) for call in message.tool_calls]
    if message.tool_call_id:
        others["tool_call_id"] = message.tool_call_id
    if message.name:
        others["name"] = message.name
    return others


def _call(call: ToolCall) -> dict[str, Any]:
    made: dict[str, Any] = {"type": "function", "function": {"name": call.name, "arguments": dict(call.arguments)}}
    return {"id": call.id, **made} if call.id else made
