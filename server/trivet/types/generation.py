"""What goes to a backend and what comes back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from trivet.types.request import Tool
from trivet.types.variant import Sampling


class FinishReason(Enum):
    """Why a generation ended."""

    STOP = "stop"
    LENGTH = "length"
    CANCELLED = "cancelled"
    ERROR = "error"


class MachineAccount(Enum):
    """What a machine's time goes to. The first three are those of requests."""

    REQUESTS = "requests"
    SHADOW = "shadow"
    WARMUP = "warmup"
    UNATTRIBUTED = "unattributed"
    """Of requests that were cancelled before their first token, and of what was computed twice."""
    IDLE = "idle"
    STARTING = "starting"
    DOWN = "down"


class MachineState(Enum):
    """Whether it can work."""

    UP = "up"
    STARTING = "starting"
    DOWN = "down"


@dataclass(frozen=True, slots=True)
class MachineCharge:
    """What the time that one request took costs; nano-USD."""

    prefill: int
    decode: int


@dataclass(frozen=True, slots=True)
class BackendRequest:
    """Token ids in. `adapter` is an engine name (`name@version#digest12`), None for the base model.

    Requests share KV blocks with those of the same `cache_salt` alone, but for blocks that lie wholly within the first
    `unsalted_tokens` tokens: these all requests of the adapter share, where the backend can tell them apart.
    `schema_owner`: the tenant whose schema it is, empty for the operator's; nothing that is computed for it is another
    owner's. `on_unread` is told, when a reader leaves before the
    end, of what the engine had handed over by then and nobody had fetched; `on_charge`, at the end, of what it costs on
    a machine whose time is shared out. `account`: whose that is. `tools` and `template_variables`: what the prompt was
    made with, by which the answer is taken apart.
    """

    request_id: str
    token_ids: tuple[int, ...]
    sampling: Sampling
    adapter: str | None = None
    cache_salt: str | None = None
    unsalted_tokens: int = 0
    json_schema: Mapping[str, Any] | None = None
    priority: int = 0
    schema_owner: str = ""
    on_unread: Callable[[Chunk], None] = lambda _: None
    on_charge: Callable[[MachineCharge], None] = lambda _: None
    account: MachineAccount = MachineAccount.REQUESTS
    tools: tuple[Tool, ...] = ()
    template_variables: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EngineTimes:
    """What the engine says of one request, by its own clock; seconds.

    `queue`: until the engine first scheduled it, with the wait for its turn to have a schema compiled. `prefill`: from
    then to its first token. `decode`: from that to its last token so far. `preemptions`: how often it lost its blocks
    to others, and was computed again.
    """

    queue: float
    prefill: float
    decode: float
    preemptions: int


@dataclass(frozen=True, slots=True)
class RequestedCall:
    """What an answer asks to have called. `arguments`: as the model wrote them, JSON if it wrote JSON."""

    name: str
    arguments: str
    id: str = ""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some tokens out, coalesced. Counts are of this chunk, but for the prompt's, which are of the request.

    The prompt's come with the first tokens: then it is known to be computed. `engine_at` is the event loop's time at
    which the last of these tokens left the engine. `times`: up to its last token, of a backend that tells them.
    `reasoning` is what was thought, apart from `text`. `reasoning_tokens` and `tool_calls` are of the whole answer and
    come with its last chunk.
    """

    text: str
    tokens: int
    engine_at: float
    finish: FinishReason | None = None
    input_tokens: int | None = None
    cached_tokens: int | None = None
    times: EngineTimes | None = None
    reasoning: str = ""
    reasoning_tokens: int | None = None
    tool_calls: tuple[RequestedCall, ...] = ()
