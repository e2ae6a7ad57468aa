"""What a request tells the model: its conversation, its tools, variables of the chat template. All of it is checked."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Literal, NoReturn, get_args

from trivet.api.v1 import inference_pb2
from trivet.errors import Problems
from trivet.excerpt import shortened
from trivet.rpc.request.json_schema import schema_from_struct
from trivet.types.request import Message, Tool, ToolCall
from trivet.types.text.template_variables import variable_problem

_Role = Literal["system", "user", "assistant", "tool"]
_ROLES: tuple[_Role, ...] = get_args(_Role)


def conversation_of(request: inference_pb2.GenerateRequest, problems: Problems) -> tuple[Message, ...]:
    """The messages, oldest first; what is wrong with them is added to `problems`. A text to be continued is the only
    one."""
    if request.prompt:
        told = "expected without a prompt, which no chat template is put around"
        for name in ("messages", "tools", "template_variables"):
            given = bool(getattr(request, name)) if name != "template_variables" else request.HasField(name)
            problems.expect(not given, name, told)
        return (Message("user", request.prompt),)
    problems.expect(len(request.messages) > 0, "messages", "is empty, expected at least one message")
    messages = tuple(_message(f"messages[{i}]", message, problems) for i, message in enumerate(request.messages))
    for position, message in enumerate(messages):
        first = position == 0 or message.role != "system"
        problems.expect(first, f"messages[{position}].role", 'is "system", expected that of the first message alone')
    if messages:
        last = messages[-1].role in ("user", "tool")
        problems.expect(last, f"messages[{len(messages) - 1}].role", "the last message is not the user's")
        asks = any(message.role == "user" for message in messages)
        problems.expect(asks, "messages", "has no message of the user's, expected at least one")
    return messages


def tools_of(tools: Sequence[inference_pb2.Tool], problems: Problems) -> tuple[Tool, ...]:
    """The functions that the model may ask to have called."""
    found: list[Tool] = []
    for position, tool in enumerate(tools):
        at = f"tools[{position}]"
        problems.expect(bool(tool.name), f"{at}.name", "is empty")
        parameters = _object(tool.parameters or "{}", f"{at}.parameters", problems)
        found.append(Tool(tool.name, tool.description, parameters, len(tool.parameters)))
    names = [tool.name for tool in found]
    problems.expect(len(names) == len(set(names)), "tools", "two have the same name, expected one of each")
    return tuple(found)


def template_variables_of(request: inference_pb2.GenerateRequest, problems: Problems) -> dict[str, Any]:
    """Variables of the model's chat template."""
    values = schema_from_struct(request.template_variables)
    for name in values:
        if problem := variable_problem(name):
            problems.add(f"template_variables.{shortened(name, 64)}", problem)
    return values


def _message(at: str, message: inference_pb2.Message, problems: Problems) -> Message:
    role = next((known for known in _ROLES if known == message.role), None)
    expected = 'expected "user" or "assistant", or "tool" or "system" where the route allows them'
    problems.expect(role is not None, f"{at}.role", expected)
    said = bool(message.content and not message.content.isspace())
    problems.expect(said or bool(message.tool_calls) or role == "tool", f"{at}.content", "is empty")
    calls = tuple(_call(f"{at}.tool_calls[{i}]", call, problems) for i, call in enumerate(message.tool_calls))
    return Message(role or "user", message.content, message.reasoning, calls, message.tool_call_id, message.name)


def _call(at: str, call: inference_pb2.ToolCall, problems: Problems) -> ToolCall:
    problems.expect(bool(call.name), f"{at}.name", "is empty")
    arguments = _object(call.arguments or "{}", f"{at}.arguments", problems)
    return ToolCall(call.name, arguments, call.id, len(call.arguments))


def _object(text: str, at: str, problems: Problems) -> dict[str, Any]:
    """JSON that is an object."""
    try:
        value = json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        problems.add(at, f"{shortened(str(error), 200)}, expected JSON")
        return {}
    problems.expect(isinstance(value, dict), at, f"is {type(value).__name__}, expected a JSON object")
    return value if isinstance(value, dict) else {}


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number that JSON knows")
