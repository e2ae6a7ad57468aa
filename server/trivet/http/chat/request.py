"""A chat completion as a client asks for it. Source: https://platform.openai.com/docs/api-reference/chat/create

The contract's own bounds (`trivet.rpc.bounds`) hold for what comes out of it; here only the form is checked.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from google.protobuf.json_format import ParseDict, ParseError
from pydantic import BeforeValidator, Field

from trivet.api.v1 import inference_pb2
from trivet.errors import InvalidRequest
from trivet.http.chat.messages import ChatMessage, Form, FunctionTool

RENAMED: Mapping[str, str] = {
    "route": "model",
    "unit_id": "user",
    "labels": "metadata",
    "json_schema": "response_format.json_schema.schema",
    "variables": "trivet.variables",
    "retrieval": "trivet.retrieval",
    "template_variables": "chat_template_kwargs",
}
"""What fields are called here that the contract calls otherwise."""

ANY_OBJECT: Mapping[str, Any] = {"type": "object"}


def _stops(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _neutral(*values: object) -> BeforeValidator:
    """For parameters that this server does not have: what changes nothing is taken, anything else refused."""

    def check(value: object) -> object:
        if value is None or any(value == one and isinstance(value, bool) == isinstance(one, bool) for one in values):
            return None
        shown = " or ".join(map(repr, values)) or "nothing"
        raise ValueError(f"not supported by this server, expected {shown}")

    return BeforeValidator(check)


_Int32 = Annotated[int, Field(ge=-(2**31), lt=2**31)]
_Int64 = Annotated[int, Field(ge=-(2**63), lt=2**63)]


class StreamOptions(Form):
    """What a stream tells beside the answer."""

    include_usage: bool = False
    include_obfuscation: bool = False


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


class Retrieval(Form):
    """What a request asks of its search itself."""

    top_k: _Int32 | None = None
    filter: list[str] = Field(default_factory=list)
    disabled: bool = False


class Extension(Form):
    """What only Trivet knows: the prompt's variables, and the search."""

    variables: dict[str, str] = Field(default_factory=dict)
    retrieval: Retrieval = Retrieval()


class ChatCompletionRequest(Form):
    """The body of `POST /v1/chat/completions`. `model` is the route."""

    model: str
    messages: list[ChatMessage]
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    max_tokens: _Int32 | None = None
    max_completion_tokens: _Int32 | None = None
    temperature: float | None = None
    seed: _Int64 | None = None
    stop: Annotated[list[str] | None, BeforeValidator(_stops)] = None
    response_format: ResponseFormat | None = None
    user: str | None = None
    safety_identifier: str | None = None
    metadata: dict[str, str] | None = None
    trivet: Extension = Extension()
    top_p: float | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    top_k: _Int32 | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    chat_template_kwargs: dict[str, Any] | None = None
    reasoning_effort: str | None = None
    n: Annotated[None, _neutral(1)] = None
    logprobs: Annotated[None, _neutral(False)] = None
    top_logprobs: Annotated[None, _neutral(0)] = None
    logit_bias: Annotated[None, _neutral({})] = None
    tools: list[FunctionTool] | None = None
    tool_choice: Literal["none", "auto"] | None = None
    parallel_tool_calls: Annotated[None, _neutral(True, False)] = None
    modalities: Annotated[None, _neutral(["text"])] = None
    store: Annotated[None, _neutral(False)] = None
    service_tier: Annotated[None, _neutral("auto", "default")] = None
    prompt_cache_key: str | None = None

    @property
    def unit(self) -> str:
        """Who sticks to a variant: the field that OpenAI has now, or the one that it had."""
        return self.safety_identifier or self.user or ""

    @property
    def _offered(self) -> list[FunctionTool]:
        """With `tool_choice` none the model hears of no tool."""
        return [] if self.tool_choice == "none" else self.tools or []

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
        found = inference_pb2.GenerateRequest(
            route=self.model,
            messages=[one.message() for one in self.messages],
            tools=[tool.message() for tool in self._offered],
            variables=self.trivet.variables,
            unit_id=self.unit,
            stop=self.stop or (),
            labels=self.metadata or {},
            retrieval=inference_pb2.RetrievalOptions(
                filter=self.trivet.retrieval.filter, disabled=self.trivet.retrieval.disabled
            ),
        )
        if self.trivet.retrieval.top_k is not None:
            found.retrieval.top_k = self.trivet.retrieval.top_k
        for name, value in self._drawing().items():
            if value is not None:
                setattr(found, name, value)
        self._add_template_variables(found)
        return found

    def _drawing(self) -> dict[str, Any]:
        """How tokens are drawn. What changes nothing is left out: many clients send it, and not all routes allow it."""
        return {
            "max_tokens": self.max_tokens if self.max_completion_tokens is None else self.max_completion_tokens,
            "temperature": self.temperature,
            "seed": self.seed,
            "top_p": _changing(self.top_p, 1),
            "top_k": self.top_k,
            "min_p": _changing(self.min_p, 0),
            "presence_penalty": _changing(self.presence_penalty, 0),
            "frequency_penalty": _changing(self.frequency_penalty, 0),
            "repetition_penalty": _changing(self.repetition_penalty, 1),
        }

    def _add_template_variables(self, found: inference_pb2.GenerateRequest) -> None:
        values = dict(self.chat_template_kwargs or {})
        if self.reasoning_effort is not None:
            values.setdefault("reasoning_effort", self.reasoning_effort)
        if not values:
            return
        try:
            ParseDict(values, found.template_variables, max_recursion_depth=16)
        except ParseError as error:
            raise InvalidRequest({"template_variables": str(error)[:200]}) from None


def _changing(value: float | None, neutral: float) -> float | None:
    return None if value == neutral else value
