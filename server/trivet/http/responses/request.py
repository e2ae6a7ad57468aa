"""A response as a client asks for it. Source: https://platform.openai.com/docs/api-reference/responses/create

The contract's own bounds (`trivet.rpc.messages.bounds`) hold for what comes out of it; here only the form is checked.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag

from trivet.api.v1 import inference_pb2
from trivet.errors import Problems
from trivet.http.chat.request import ANY_OBJECT, CHOICES
from trivet.http.forms.form import Form
from trivet.http.forms.parameters import Int32, Parameters, neutral
from trivet.http.responses.conversation import Conversation, InputItem, as_items

RENAMED: Mapping[str, str] = {
    "route": "model",
    "adapter": "model",
    "unit_id": "user",
    "labels": "metadata",
    "max_tokens": "max_output_tokens",
    "json_schema": "text.format.schema",
    "variables": "trivet.variables",
    "retrieval": "trivet.retrieval",
    "template_variables": "chat_template_kwargs",
    "tool_name": "tool_choice",
    "single_tool_call": "parallel_tool_calls",
}
"""What fields are called here that the contract calls otherwise; those of its conversation depend on the request."""

MOST_ITEMS = 1024  # the messages that they become are bounded by the contract
LOGPROBS = "message.output_text.logprobs"
_NOT_STORED = "responses and conversations are not stored here, send the whole conversation as input"


class ResponseTool(Form):
    """A function that the model may ask to have called; `parameters` is a JSON schema."""

    type: Literal["function"]
    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None

    def message(self) -> inference_pb2.Tool:
        """The same in the contract's words."""
        parameters = json.dumps(self.parameters or {}, ensure_ascii=False)
        return inference_pb2.Tool(name=self.name, description=self.description or "", parameters=parameters)


class ResponseToolName(Form):
    """The tool that has to be called."""

    type: Literal["function"]
    name: str


def _choice_tag(choice: object) -> str:
    return "a tool" if isinstance(choice, dict | ResponseToolName) else "a word"  # no identifiers, see `conversation`


ToolChoice = Annotated[
    Annotated[Literal["none", "auto", "required"], Tag("a word")] | Annotated[ResponseToolName, Tag("a tool")],
    Discriminator(_choice_tag),
]


class TextFormat(Form):
    """How the text is constrained; a schema always strictly."""

    type: Literal["text", "json_object", "json_schema"]
    name: str | None = None
    description: str | None = None
    schema_: dict[str, Any] | None = Field(default=None, alias="schema")
    strict: bool | None = None


class ResponseText(Form):
    """What the text is to be like."""

    format: TextFormat | None = None
    verbosity: Annotated[None, neutral("medium")] = None


class ReasoningOptions(Form):
    """How the model thinks. Its thoughts are in the answer as they are, so there are no summaries of them."""

    effort: str | None = None
    summary: Annotated[None, neutral(why="thoughts are told whole")] = None
    generate_summary: Annotated[None, neutral(why="thoughts are told whole")] = None


class ResponseStreamOptions(Form):
    """What a stream tells beside the answer: nothing more."""

    include_obfuscation: bool = False


class ResponseRequest(Parameters):
    """The body of `POST /v1/responses`."""

    input: Annotated[list[InputItem], BeforeValidator(as_items, json_schema_input_type=str | list[InputItem])]
    instructions: str | None = None
    max_output_tokens: Int32 | None = None
    tools: list[ResponseTool] | None = None
    tool_choice: ToolChoice | None = None
    text: ResponseText | None = None
    reasoning: ReasoningOptions | None = None
    include: list[Literal["reasoning.encrypted_content", "message.output_text.logprobs"]] | None = None
    stream_options: ResponseStreamOptions | None = None
    store: Annotated[None, neutral(False, why=_NOT_STORED)] = None
    previous_response_id: Annotated[None, neutral(why=_NOT_STORED)] = None
    conversation: Annotated[None, neutral(why=_NOT_STORED)] = None
    background: Annotated[None, neutral(False, why=_NOT_STORED)] = None
    prompt: Annotated[None, neutral(why="prompts are the route's own")] = None
    max_tool_calls: Annotated[None, neutral(why="there are no built-in tools")] = None
    truncation: Annotated[None, neutral("disabled")] = None

    @property
    def named_tool(self) -> str:
        """The one function that has to be called; empty if any may."""
        return self.tool_choice.name if isinstance(self.tool_choice, ResponseToolName) else ""

    @property
    def with_logprobs(self) -> bool:
        """Whether the text comes with its tokens' log probabilities."""
        return LOGPROBS in (self.include or ())

    @property
    def schema_asked(self) -> Mapping[str, Any] | None:
        """The JSON schema that the text is to follow; None for plain text."""
        format_ = None if self.text is None else self.text.format
        if format_ is None or format_.type == "text":
            return None
        return ANY_OBJECT if format_.schema_ is None else format_.schema_

    def conversation_asked(self) -> Conversation:
        """The instructions and the input."""
        return Conversation(self.instructions, self.input)

    def message(self, conversation: Conversation) -> inference_pb2.GenerateRequest:
        """The same in the contract's words, but for the schema: a Struct does not keep the order of its fields."""
        found = self.request(
            max_tokens=self.max_output_tokens,
            top_logprobs=(self.top_logprobs or 0) if self.with_logprobs else None,
            effort=None if self.reasoning is None else self.reasoning.effort,
        )
        found.messages.extend(conversation.messages())
        found.tools.extend(tool.message() for tool in self.tools or ())
        word = self.tool_choice if isinstance(self.tool_choice, str) else "required" if self.tool_choice else "auto"
        found.tool_choice = CHOICES[word]
        found.tool_name = self.named_tool
        return found

    def check(self) -> None:
        """Raise InvalidRequest for parts that do not fit together."""
        problems = Problems()
        most = len(self.input) <= MOST_ITEMS
        problems.expect(most, "input", f"expected at most {MOST_ITEMS:,} items, got {len(self.input):,}")
        format_ = None if self.text is None else self.text.format
        if format_ is not None:
            with_schema = (format_.type == "json_schema") == (format_.schema_ is not None)
            problems.expect(with_schema, "text.format.schema", "expected with type json_schema, and only there")
        streams = self.stream_options is None or bool(self.stream)
        problems.expect(streams, "stream_options", "expected only with stream: true")
        wanted = not self.top_logprobs or self.with_logprobs
        problems.expect(wanted, "top_logprobs", f"expected only with {LOGPROBS} in include")
        problems.refuse()
