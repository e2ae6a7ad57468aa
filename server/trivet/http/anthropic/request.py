"""A message as a client asks for it. Source: https://docs.anthropic.com/en/api/messages

The contract's own bounds (`trivet.rpc.messages.bounds`) hold for what comes out of it; here only the form is checked.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from trivet.api.v1 import inference_pb2
from trivet.http.forms.form import Form

RENAMED: Mapping[str, str] = {
    "route": "model",
    "unit_id": "metadata.user_id",
    "stop": "stop_sequences",
    "tool_name": "tool_choice",
    "max_reasoning_tokens": "thinking.budget_tokens",
}
"""What fields are called here that the contract calls otherwise."""

_Int32 = Annotated[int, Field(ge=-(2**31), lt=2**31)]


class _Block(Form):
    """Part of a content. Whether it is cached is not the client's to say: all of a prompt is."""

    cache_control: dict[str, Any] | None = None


class TextBlock(_Block):
    """Text."""

    type: Literal["text"]
    text: str
    citations: None = None


class ThinkingBlock(_Block):
    """What an earlier answer thought. Its signature is nobody's here."""

    type: Literal["thinking"]
    thinking: str
    signature: str = ""


class ToolUseBlock(_Block):
    """A call that an earlier answer asked for."""

    type: Literal["tool_use"]
    id: str
    name: str
    input: dict[str, Any]


class ToolResultBlock(_Block):
    """What a call gave."""

    type: Literal["tool_result"]
    tool_use_id: str
    content: str | list[TextBlock] = ""
    is_error: bool = False


Block = Annotated[TextBlock | ThinkingBlock | ToolUseBlock | ToolResultBlock, Field(discriminator="type")]


class Turn(Form):
    """One turn of the conversation."""

    role: Literal["user", "assistant"]
    content: str | list[Block]

    def messages(self) -> Iterator[inference_pb2.Message]:
        """The same in the contract's words: what calls gave are messages of their own."""
        if isinstance(self.content, str):
            yield inference_pb2.Message(role=self.role, content=self.content)
            return
        said = inference_pb2.Message(role=self.role)
        texts, thoughts = list[str](), list[str]()
        for block in self.content:
            if isinstance(block, TextBlock):
                texts.append(block.text)
            elif isinstance(block, ThinkingBlock):
                thoughts.append(block.thinking)
            elif isinstance(block, ToolUseBlock):
                said.tool_calls.add(id=block.id, name=block.name, arguments=json.dumps(block.input, ensure_ascii=False))
            else:
                yield inference_pb2.Message(role="tool", content=_text(block.content), tool_call_id=block.tool_use_id)
        said.content, said.reasoning = "".join(texts), "".join(thoughts)
        if said.content or said.reasoning or said.tool_calls or not self.content:
            yield said


class Tool(Form):
    """A function that the model may ask to have called."""

    type: Literal["custom"] | None = None
    name: str
    description: str = ""
    input_schema: dict[str, Any]
    cache_control: dict[str, Any] | None = None


class ToolChoice(Form):
    """Whether the model calls."""

    type: Literal["auto", "any", "tool", "none"]
    name: str = ""
    disable_parallel_tool_use: bool = False


class Thinking(Form):
    """How long the model thinks. Whether it does is its route's to say, so it cannot be disabled here."""

    type: Literal["enabled"]
    budget_tokens: _Int32


class Metadata(Form):
    """Whose request it is."""

    user_id: str | None = None


class MessageRequest(Form):
    """The body of `POST /v1/messages`. `model` is the route."""

    model: str
    messages: list[Turn]
    max_tokens: _Int32
    system: str | list[TextBlock] | None = None
    stream: bool = False
    temperature: float | None = None
    top_p: float | None = None
    top_k: _Int32 | None = None
    stop_sequences: list[str] = Field(default_factory=list)
    tools: list[Tool] = Field(default_factory=list)
    tool_choice: ToolChoice | None = None
    thinking: Thinking | None = None
    metadata: Metadata = Metadata()

    def message(self) -> inference_pb2.GenerateRequest:
        """The same in the contract's words."""
        choice = self.tool_choice or ToolChoice(type="auto")
        found = inference_pb2.GenerateRequest(
            route=self.model,
            unit_id=self.metadata.user_id or "",
            stop=self.stop_sequences,
            max_tokens=self.max_tokens,
            tools=[
                inference_pb2.Tool(
                    name=tool.name,
                    description=tool.description,
                    parameters=json.dumps(tool.input_schema, ensure_ascii=False),
                )
                for tool in self.tools
            ],
            tool_choice=_CHOICES[choice.type],
            tool_name=choice.name,
            single_tool_call=choice.disable_parallel_tool_use,
        )
        if self.system:
            found.messages.add(role="system", content=_text(self.system))
        for turn in self.messages:
            found.messages.extend(turn.messages())
        if self.thinking is not None:
            found.max_reasoning_tokens = self.thinking.budget_tokens
        for name in ("temperature", "top_p", "top_k"):
            value = getattr(self, name)
            if value is not None and (name, value) != ("top_p", 1):
                setattr(found, name, value)
        return found


_CHOICES: Mapping[str, inference_pb2.ToolChoice] = {
    "auto": inference_pb2.TOOL_CHOICE_AUTO,
    "none": inference_pb2.TOOL_CHOICE_NONE,
    "any": inference_pb2.TOOL_CHOICE_REQUIRED,
    "tool": inference_pb2.TOOL_CHOICE_REQUIRED,
}


def _text(content: str | list[TextBlock]) -> str:
    return content if isinstance(content, str) else "".join(block.text for block in content)
