"""What a client asked for, after it was checked and before anything was looked up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Literal

from trivet.types.metadata.where import Where
from trivet.types.passage import Expansion

PUBLIC_TENANT = "public"


class KeyRole(Enum):
    """What the holder of a credential may do."""

    CLIENT = "client"
    OPERATOR = "operator"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: from the credential, never from the request's body.

    `key`: the credential's name, empty without one. `tester`: may choose the variant. `routes`: those that it may call,
    None for all.
    """

    tenant: str
    role: KeyRole
    key: str = ""
    tester: bool = False
    routes: frozenset[str] | None = None

    def may_call(self, route: str) -> bool:
        """Whether its key is for a route, if there is one of that name."""
        return self.routes is None or route in self.routes

    def __str__(self) -> str:
        return f"key {self.key} of tenant {self.tenant}" if self.key else "a caller without a key"


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that the model may ask to have called. `parameters`: a JSON schema, of `size` characters as JSON."""

    name: str
    description: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    size: int = 0


@dataclass(frozen=True, slots=True)
class RequiredCalls:
    """The answer has to be calls. `schema`: of what the model then writes, the arguments of function `name`, or, where
    `name` is empty, a list of objects with `name` and `parameters`."""

    schema: Mapping[str, Any]
    name: str = ""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """What an assistant asked for. `arguments`: as JSON knows them, by name, of `size` characters as JSON."""

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    id: str = ""
    size: int = 0


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation. Its texts are untrusted plain text unless they come from a prompt file.

    `reasoning`: what an assistant thought before it answered. `tool_calls`: what it asked for. `tool_call_id`, `name`:
    of a tool's answer, the call that it belongs to and the function's name.
    """

    role: Literal["system", "user", "assistant", "tool"]
    content: str
    reasoning: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str = ""
    name: str = ""


@dataclass(frozen=True, slots=True)
class TraceContext:
    """Which trace a request belongs to (https://www.w3.org/TR/trace-context/).

    `trace_id`: 32 hex digits. `parent_id`: the caller's span, 16 hex digits, empty for a trace that begins here.
    `sampled`: its spans are exported.
    """

    trace_id: str
    parent_id: str = ""
    sampled: bool = False


@dataclass(frozen=True, slots=True)
class RetrievalOptions:
    """What a request asks for itself; None means the variant's setting."""

    top_k: int | None = None
    tags: tuple[str, ...] = ()
    disabled: bool = False
    expansion: Expansion | None = None
    where: Where | None = None


@dataclass(frozen=True, slots=True)
class GenerateCall:
    """One request to answer. Times are seconds of the event loop's clock (`loop.time()`).

    `key`: its credential's name, empty without one. `single_call`: of the calls that the model asks for, the first.
    `adapter`: the name@version that it asks for, where its route leaves the choice to requests. `n`: how many answers.
    `raw`: its one message is a text to be continued. `stream_max_tokens` and `stream_max_ms`: the route's `StreamPace`
    where None.
    """

    request_id: str
    tenant: str
    route: str
    messages: tuple[Message, ...]
    arrived: float
    deadline: float | None = None
    unit_id: str = ""
    variables: Mapping[str, str] = field(default_factory=dict)
    json_schema: Mapping[str, Any] | None = None
    stop: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    retrieval: RetrievalOptions = RetrievalOptions()
    max_tokens: int | None = None
    temperature: float | None = None
    seed: int | None = None
    priority: int = 0
    forced_variant: str = ""
    trace: TraceContext | None = None
    template_variables: Mapping[str, Any] = field(default_factory=dict)
    tools: tuple[Tool, ...] = ()
    key: str = ""
    adapter: str = ""
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    repetition_penalty: float | None = None
    max_reasoning_tokens: int | None = None
    top_logprobs: int | None = None
    required_calls: RequiredCalls | None = None
    single_call: bool = False
    n: int = 1
    raw: bool = False
    stream_max_tokens: int | None = None
    stream_max_ms: float | None = None

    @property
    def text_size(self) -> int:
        """Characters of all that the model is told by the client, but for the prompt's variables."""
        messages = sum(len(message.content) + len(message.reasoning) for message in self.messages)
        calls = sum(call.size for message in self.messages for call in message.tool_calls)
        return messages + calls + sum(tool.size + len(tool.description) for tool in self.tools)

    @property
    def question(self) -> str:
        """The user's last message: what is searched with."""
        return next(message.content for message in reversed(self.messages) if message.role == "user")
