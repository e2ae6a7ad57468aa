"""A chat completion as a client asks for it. Source: https://platform.openai.com/docs/api-reference/chat/create

The contract's own bounds (`trivet.rpc.bounds`) hold for what comes out of it; here only the form is checked.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from trivet.api.v1 import inference_pb2

RENAMED: Mapping[str, str] = {
    "route": "model",
    "unit_id": "user",
    "labels": "metadata",
    "json_schema": "response_format.json_schema.schema",
    "variables": "trivet.variables",
    "retrieval": "trivet.retrieval",
}
"""What fields are called here that the contract calls otherwise."""

ANY_OBJECT: Mapping[str, Any] = {"type": "object"}


def _text(value: object) -> object:
    """A message's content: a string, or a list of parts of which all are text."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if not isinstance(value, list):
        raise ValueError("expected a string, or a list of parts of type text")
    texts = []
    for position, part in enumerate(value):
        kind = part.get("type") if isinstance(part, dict) else None
        text = part.get("text") if isinstance(part, dict) else None
        if kind != "text" or not isinstance(text, str):
            raise ValueError(f"part {position}: expected type text with a text; images, audio and files are not served")
        texts.append(text)
    return "".join(texts)


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


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class ChatMessage(_Form):
    """One message of a conversation."""

    role: str
    content: Annotated[str, BeforeValidator(_text)] = ""
    name: str | None = None


class StreamOptions(_Form):
    """What a stream tells beside the answer."""

    include_usage: bool = False
    include_obfuscation: bool = False


class JsonSchema(_Form):
    """A JSON schema that the answer follows, always strictly."""

    name: str = ""
    description: str | None = None
    schema_: dict[str, Any] = Field(alias="schema")
    strict: bool | None = None


class ResponseFormat(_Form):
    """How the answer is constrained."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None


class Retrieval(_Form):
    """What a request asks of its search itself."""

    top_k: _Int32 | None = None
    filter: list[str] = []
    disabled: bool = False


class Extension(_Form):
    """What only Trivet knows: the prompt's variables, and the search."""

    variables: dict[str, str] = {}
    retrieval: Retrieval = Retrieval()


class ChatCompletionRequest(_Form):
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
    n: Annotated[None, _neutral(1)] = None
    top_p: Annotated[None, _neutral(1)] = None
    frequency_penalty: Annotated[None, _neutral(0)] = None
    presence_penalty: Annotated[None, _neutral(0)] = None
    logprobs: Annotated[None, _neutral(False)] = None
    top_logprobs: Annotated[None, _neutral(0)] = None
    logit_bias: Annotated[None, _neutral({})] = None
    tools: Annotated[None, _neutral([])] = None
    tool_choice: Annotated[None, _neutral("none", "auto")] = None
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
            messages=[
                inference_pb2.Message(role="system" if one.role == "developer" else one.role, content=one.content)
                for one in self.messages
            ],
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
        most = self.max_tokens if self.max_completion_tokens is None else self.max_completion_tokens
        for name, value in (("max_tokens", most), ("temperature", self.temperature), ("seed", self.seed)):
            if value is not None:
                setattr(found, name, value)
        return found
