"""A chat completion as a client asks for it. Source: https://platform.openai.com/docs/api-reference/chat/create

The contract's own bounds (`trivet.rpc.messages.bounds`) hold for what comes out of it; here only the form is checked.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from trivet.api.v1 import inference_pb2
from trivet.http.chat.messages import ChatMessage, FunctionTool, NamedTool
from trivet.http.forms.form import Form
from trivet.http.forms.parameters import Int32, Parameters, StreamOptions, neutral

RENAMED: Mapping[str, str] = {
    "route": "model",
    "adapter": "model",
    "unit_id": "user",
    "labels": "metadata",
    "json_schema": "response_format.json_schema.schema",
    "variables": "trivet.variables",
    "retrieval": "trivet.retrieval",
    "template_variables": "chat_template_kwargs",
    "tool_name": "tool_choice",
    "single_tool_call": "parallel_tool_calls",
}
"""What fields are called here that the contract calls otherwise."""

CHOICES: Mapping[str, inference_pb2.ToolChoice] = {
    "auto": inference_pb2.TOOL_CHOICE_AUTO,
    "none": inference_pb2.TOOL_CHOICE_NONE,
    "required": inference_pb2.TOOL_CHOICE_REQUIRED,
}
ANY_OBJECT: Mapping[str, Any] = {"type": "object"}


class JsonSchema(Form):
    """A JSON schema that the answer follows, always strictly."""

    name: str = ""
    description: str | None = None
    schema_: dict[str, Any] = Field(alias="schema")
    strict: bool | None = None


class ResponseFormat(Form):
    """How the answer is constrained."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None


class ChatCompletionRequest(Parameters):
    """The body of `POST /v1/chat/completions`."""

    messages: list[ChatMessage]
    stream_options: StreamOptions | None = None
    max_tokens: Int32 | None = None
    max_completion_tokens: Int32 | None = None
    response_format: ResponseFormat | None = None
    reasoning_effort: str | None = None
    n: Int32 | None = None
    logprobs: bool | None = None
    logit_bias: Annotated[None, neutral({})] = None
    tools: list[FunctionTool] | None = None
    tool_choice: Literal["none", "auto", "required"] | NamedTool | None = None
    modalities: Annotated[None, neutral(["text"])] = None
    store: Annotated[None, neutral(False)] = None
    ignore_eos: Annotated[None, neutral(False)] = None

    @property
    def _choice(self) -> inference_pb2.ToolChoice:
        if isinstance(self.tool_choice, NamedTool):
            return inference_pb2.TOOL_CHOICE_REQUIRED
        return CHOICES[self.tool_choice or "auto"]

    @property
    def schema_asked(self) -> Mapping[str, Any] | None:
        """The JSON schema that the answer is to follow; None for plain text."""
        format_ = self.response_format
        if format_ is None or format_.type == "text":
            return None
        if format_.type == "json_object" or format_.json_schema is None:
            return ANY_OBJECT
        return format_.json_schema.schema_

    def message(self) -> inference_pb2.GenerateRequest:
        """The same in the contract's words, but for the schema: a Struct does not keep the order of its fields."""
        found = self.request(
            max_tokens=self.max_tokens if self.max_completion_tokens is None else self.max_completion_tokens,
            top_logprobs=(self.top_logprobs or 0) if self.logprobs else None,
            effort=self.reasoning_effort,
            answers=self.n,
        )
        found.messages.extend(one.message() for one in self.messages)
        found.tools.extend(tool.message() for tool in self.tools or ())
        found.tool_choice = self._choice
        found.tool_name = self.tool_choice.function.name if isinstance(self.tool_choice, NamedTool) else ""
        return found
