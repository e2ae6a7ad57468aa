"""What a client asked for, after it was checked and before anything was looked up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Literal

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

    def __str__(self) -> str:
        return f"key {self.key} of tenant {self.tenant}" if self.key else "a caller without a key"


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that the model may ask to have called. `parameters`: a JSON schema of its arguments."""

    name: str
    description: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ToolCall:
    """What an assistant asked for. `arguments`: as JSON knows them, by name."""

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    id: str = ""


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
class RetrievalOptions:
    """What a request asks for itself; None means the variant's setting."""

    top_k: int | None = None
    tags: tuple[str, ...] = ()
    disabled: bool = False


@dataclass(frozen=True, slots=True)
class GenerateCall:
    """One request to answer. Times are seconds of the event loop's clock (`loop.time()`).

    `key`: its credential's name, empty without one.
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
    template_variables: Mapping[str, Any] = field(default_factory=dict)
    tools: tuple[Tool, ...] = ()
    key: str = ""
