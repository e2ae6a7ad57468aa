"""What a request says of whether the model calls its tools, and the schema of the calls that it has to make."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from trivet.api.v1 import inference_pb2
from trivet.errors import Problems
from trivet.excerpt import quote
from trivet.schemas.check import schema_problems
from trivet.schemas.limits import SchemaLimits
from trivet.types.request import RequiredCalls, Tool

MOST_CALLS = 16
_NOTHING: Mapping[str, Any] = {"type": "object", "properties": {}, "additionalProperties": False}


def offered_tools(request: inference_pb2.GenerateRequest, tools: tuple[Tool, ...]) -> tuple[Tool, ...]:
    """The tools that the model hears of: none if it may call none."""
    return () if request.tool_choice == inference_pb2.TOOL_CHOICE_NONE else tools


def required_calls_of(
    request: inference_pb2.GenerateRequest, tools: Sequence[Tool], problems: Problems, limits: SchemaLimits
) -> RequiredCalls | None:
    """The calls that the answer has to be, None if it is free; what is wrong is added to `problems`."""
    choice, name = request.tool_choice, request.tool_name
    known = choice in inference_pb2.ToolChoice.values()
    problems.expect(known, "tool_choice", f"{choice} is unknown, expected one of ToolChoice")
    required = choice == inference_pb2.TOOL_CHOICE_REQUIRED
    problems.expect(required or not name, "tool_name", "expected only with tool_choice TOOL_CHOICE_REQUIRED")
    if not required:
        return None
    problems.expect(bool(tools), "tool_choice", "a call is required, expected at least one tool")
    chosen = [tool for tool in tools if not name or tool.name == name]
    problems.expect(bool(chosen) or not tools, "tool_name", f"{quote(name)} is none of the tools")
    before = bool(problems)
    for position, tool in enumerate(tools):
        if tool in chosen:
            _check(tool, f"tools[{position}].parameters", problems, limits)
    if not chosen or (problems and not before):
        return None
    if name:
        return RequiredCalls(_arguments(chosen[0]), name)
    calls = _calls(chosen, 1 if request.single_tool_call else MOST_CALLS)
    wrong = "; ".join(f"at {problem}" for problem in schema_problems(calls, limits))
    problems.expect(not wrong, "tools", f"together: {wrong}")
    return RequiredCalls(calls)


def _check(tool: Tool, at: str, problems: Problems, limits: SchemaLimits) -> None:
    schema = _arguments(tool)
    of_objects = schema.get("type", "object") == "object" and ("type" in schema or "properties" in schema)
    if not of_objects and "$ref" not in schema:
        problems.add(at, "expected a schema of type object")
        return
    wrong = "; ".join(f"at {problem}" for problem in schema_problems(schema, limits))
    problems.expect(not wrong, at, f"a required call's arguments cannot be held to this schema: {wrong}")


def _arguments(tool: Tool) -> Mapping[str, Any]:
    return tool.parameters or _NOTHING


def _calls(tools: Sequence[Tool], most: int) -> dict[str, Any]:
    """A list of calls. Each tool's schema is a definition, to which its own references lead."""
    kinds = [
        {
            "type": "object",
            "properties": {"name": {"const": tool.name}, "parameters": {"$ref": f"#/$defs/{_key(number)}"}},
            "required": ["name", "parameters"],
            "additionalProperties": False,
        }
        for number, tool in enumerate(tools)
    ]
    definitions = {_key(number): _moved(_arguments(tool), _key(number)) for number, tool in enumerate(tools)}
    items = kinds[0] if len(kinds) == 1 else {"anyOf": kinds}
    return {"$defs": definitions, "type": "array", "items": items, "minItems": 1, "maxItems": most}


def _key(number: int) -> str:
    return f"tool{number}"


def _moved(schema: Any, key: str) -> Any:
    """The same schema where it is a definition: `#` is then the whole document's."""
    if isinstance(schema, list):
        return [_moved(one, key) for one in schema]
    if not isinstance(schema, Mapping):
        return schema
    return {
        name: f"#/$defs/{key}{value[1:]}"
        if name == "$ref" and isinstance(value, str) and value.startswith("#")
        else _moved(value, key)
        for name, value in schema.items()
    }
