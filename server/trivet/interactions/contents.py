"""An answered request as it is kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from trivet.types.answer import Answer
from trivet.types.interaction import Interaction
from trivet.types.request import GenerateCall, Message, ToolCall

MAX_CHARACTERS = 256 << 10
"""Of all texts of an interaction; a longer one is not kept."""


def size_of(call: GenerateCall, answer: Answer) -> int:
    """Characters of the texts that would be kept."""
    asked = sum(len(message.content) + sum(part.size for part in message.tool_calls) for message in call.messages)
    wanted = sum(len(part.name) + len(part.arguments) for part in answer.tool_calls)
    return asked + len(answer.text) + wanted + sum(map(len, call.variables.values()))


def interaction_of(call: GenerateCall, answer: Answer) -> Interaction:
    """What the client said and what it got, still without its unit's digest and its receipt.

    What a model thought, the passages' texts, log probabilities and all choices but the first are left out.
    """
    return Interaction(
        tenant=call.tenant,
        request_id=call.request_id,
        route=call.route,
        variant=answer.receipt.variant,
        unit="",
        messages=tuple(map(_message, call.messages)),
        answer=answer.text,
        variables=dict(call.variables),
        tool_calls=tuple({"name": item.name, "arguments": item.arguments} for item in answer.tool_calls),
    )


def redacted(interaction: Interaction, redact: Callable[[str], str]) -> Interaction:
    """The same with every text of a client or a model redacted."""
    return replace(
        interaction,
        messages=tuple(_each(message, redact) for message in interaction.messages),
        answer=redact(interaction.answer),
        variables={name: redact(value) for name, value in interaction.variables.items()},
        tool_calls=tuple(_each(call, redact) for call in interaction.tool_calls),
    )


def _message(message: Message) -> dict[str, Any]:
    said: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.tool_calls:
        said["tool_calls"] = [_call(call) for call in message.tool_calls]
    if message.tool_call_id:
        said["tool_call_id"] = message.tool_call_id
    if message.name:
        said["name"] = message.name
    return said


def _call(call: ToolCall) -> dict[str, Any]:
    return {"id": call.id, "name": call.name, "arguments": dict(call.arguments)}


def _each(value: Any, redact: Callable[[str], str]) -> Any:
    """A JSON value with its texts redacted, names apart."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        return {
            name: part if name in ("role", "id", "tool_call_id") else _each(part, redact)
            for name, part in value.items()
        }
    if isinstance(value, list | tuple):
        return [_each(part, redact) for part in value]
    return value
