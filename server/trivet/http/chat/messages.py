"""Messages and tools of a chat completion. Source: https://platform.openai.com/docs/api-reference/chat/create"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator

from trivet.api.v1 import inference_pb2
from trivet.http.forms.form import Form


def text_of(*kinds: str) -> BeforeValidator:
    """For a content: a string, or a list of parts of which all are text, of one of these types."""
    expected = " or ".join(kinds)

    def check(value: object) -> object:
        if value is None:
            return ""
        if isinstance(value, str):
            return value
        if not isinstance(value, list):
            raise ValueError(f"expected a string, or a list of parts of type {expected}")
        texts = []
        for position, part in enumerate(value):
            kind = part.get("type") if isinstance(part, dict) else None
            text = part.get("text") if isinstance(part, dict) else None
            if kind not in kinds or not isinstance(text, str):
                problem = f"expected type {expected} with a text; images, audio and files are not served"
                raise ValueError(f"part {position}: {problem}")
            texts.append(text)
        return "".join(texts)

    return BeforeValidator(check, json_schema_input_type=str | list[dict[str, Any]] | None)


class CalledFunction(Form):
    """What an assistant asked to have called; `arguments` is JSON text."""

    name: str
    arguments: str = "{}"


class AskedCall(Form):
    """One call that an assistant asked for."""

    id: str = ""
    type: Literal["function"] = "function"
    function: CalledFunction


class Function(Form):
    """A function that the model may ask to have called; `parameters` is a JSON schema."""

    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class FunctionTool(Form):
    """One tool."""

    type: Literal["function"]
    function: Function

    def message(self) -> inference_pb2.Tool:
        """The same in the contract's words."""
        parameters = json.dumps(self.function.parameters or {}, ensure_ascii=False)
        return inference_pb2.Tool(
            name=self.function.name, description=self.function.description or "", parameters=parameters
        )


class NamedFunction(Form):
    """A function by its name."""

    name: str


class NamedTool(Form):
    """The tool that has to be called."""

    type: Literal["function"]
    function: NamedFunction


class ChatMessage(Form):
    """One message of a conversation. What an assistant's earlier answer carries beside its text is taken back."""

    role: str
    content: Annotated[str, text_of("text")] = ""
    name: str | None = None
    tool_calls: list[AskedCall] | None = None
    tool_call_id: str | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None
    refusal: None = None
    audio: None = None
    function_call: None = None
    annotations: list[Mapping[str, Any]] | None = None

    def message(self) -> inference_pb2.Message:
        """The same in the contract's words."""
        return inference_pb2.Message(
            role="system" if self.role == "developer" else self.role,
            content=self.content,
            reasoning=self.reasoning or self.reasoning_content or "",
            tool_calls=[
                inference_pb2.ToolCall(id=call.id, name=call.function.name, arguments=call.function.arguments)
                for call in self.tool_calls or ()
            ],
            tool_call_id=self.tool_call_id or "",
            name=self.name or "" if self.role == "tool" else "",
        )
