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

    `key`: the credential's name, empty without one. `tester`: may choose the variant.
    """

    tenant: str
    role: KeyRole
    key: str = ""
    tester: bool = False

    def __str__(self) -> str:
        return f"key {self.key} of tenant {self.tenant}" if self.key else "a caller without a key"


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation. `content` is untrusted plain text unless it comes from a prompt file."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True)
class RetrievalOptions:
    """What a request asks for itself; None means the variant's setting."""

    top_k: int | None = None
    tags: tuple[str, ...] = ()
    disabled: bool = False


@dataclass(frozen=True, slots=True)
class GenerateCall:
    """One request to answer. Times are seconds of the event loop's clock (`loop.time()`)."""

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
