"""What goes to a backend and what comes back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from trivet.types.request import Message, RequiredCalls, Tool
from trivet.types.variant import Sampling, StreamPace


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
    """What the time that one request took costs; nano-USD. `prompt_weight`: of a prompt token, where an output token
    has 1, when it ended."""

    prefill: int
    decode: int
    prompt_weight: float | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Replica:
    """One of a backend's engines. `id`: which one, in which of its lives; empty for an only one. `node`: what operators
    call it, empty for an engine in this process."""

    id: str = ""
    node: str = ""


@dataclass(frozen=True, slots=True)
class BackendRequest:
    """Token ids in. `adapter` is an engine name (`name@version#digest12`), None for the base model.

    `activated_from`: the token that an activated LoRA acts from; what stands before is the base model's, and shares its
    KV blocks. A plain adapter has none.

    Requests share KV blocks with those of the same `cache_salt` alone, but for blocks that lie wholly within the first
    `unsalted_tokens` tokens: these all requests of the adapter share, where the backend can tell them apart.
    `schema_owner`: the tenant whose schema it is, empty for the operator's; nothing that is computed for it is another
    owner's. `on_unread` is told, when a reader leaves before the
    end, of what the engine had handed over by then and nobody had fetched; `on_charge`, at the end, of what it costs on
    a machine whose time is shared out; `on_placed`, before it goes to one of several engines, of which (again, if it
    is tried on another); of a warm-up, after each that has gone through it, later ones too.
    `account`: whose that is. `tools` and `template_variables`: what the prompt was made with, by which the answer is
    taken apart. `required_calls`: the answer is to be these; then its schema is the `json_schema`. `single_call`: no
    call but the first. `messages`: what the ids say, in turns, for a backend that may not be given ids; else empty.
    `pace`: how far its tokens may be gathered before they go out.
    """

    request_id: str
    token_ids: tuple[int, ...]
    sampling: Sampling
    adapter: str | None = None
    activated_from: int | None = None
    cache_salt: str | None = None
    unsalted_tokens: int = 0
    json_schema: Mapping[str, Any] | None = None
    priority: int = 0
    schema_owner: str = ""
    on_unread: Callable[[Chunk], None] = lambda _: None
    on_charge: Callable[[MachineCharge], None] = lambda _: None
    on_placed: Callable[[Replica], None] = lambda _: None
    account: MachineAccount = MachineAccount.REQUESTS
    tools: tuple[Tool, ...] = ()
    template_variables: Mapping[str, Any] = field(default_factory=dict)
    required_calls: RequiredCalls | None = None
    single_call: bool = False
    messages: tuple[Message, ...] = ()
    pace: StreamPace = field(default_factory=StreamPace)


@dataclass(slots=True)  # not frozen: one is made with each message, and frozen ones take three times as long
class EngineTimes:
    """What the engine says of one request, by its own clock; seconds.

    `queue`: from the hand-over until the engine first scheduled it, with the wait for its turn to have a schema
    compiled. `prefill`: from then to its first token. `decode`: from that to its last token so far. `preemptions`: how
    often it lost its blocks to others, and was computed again.
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
class CallDelta:
    """Some more of the call with this number, from 0. The first one of a call has its name, and its id if it has one.

    Together the `arguments` are those of the `RequestedCall`.
    """

    index: int
    name: str = ""
    id: str = ""
    arguments: str = ""


@dataclass(frozen=True, slots=True)
class Logprob:
    """A token's text, and the natural logarithm of its probability."""

    token: str
    logprob: float


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """A token that was written, and the most likely ones in its place, the likeliest first."""

    written: Logprob
    top: tuple[Logprob, ...] = ()


@dataclass(slots=True)  # not frozen, like `EngineTimes`
class Chunk:
    """Some tokens out, coalesced. Counts are of this chunk, but for the prompt's, which are of the request.

    The prompt's come with the first tokens: then it is known to be computed. `engine_at` is the event loop's time at
    which the last of these tokens left the engine. `times`: up to its last token, of a backend that tells them.
    `reasoning` is what was thought, apart from `text`. `reasoning_tokens` and `tool_calls` are of the whole answer and
    come with its last chunk; `call_deltas` are the same calls as they are written.
    `logprobs`: of each of its tokens, where they were asked for.
    `estimated`: its counts and those of the chunks before are estimates, for the backend does not tell them.
    `parser_gave_up`: with the last one, that a part of the answer is text as the model wrote it, thoughts and calls
    included.
    `answer_tokens`: with the last one, the answer's tokens in all, where those of the chunks may be estimates.
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
    call_deltas: tuple[CallDelta, ...] = ()
    logprobs: tuple[TokenLogprob, ...] = ()
    estimated: bool = False
    answer_tokens: int | None = None
    parser_gave_up: bool = False


@dataclass(frozen=True, slots=True)
class EngineNodeStatus:
    """One line of `trivet fleet ls`. `in_flight`: this gateway's own requests; `running` and `waiting`: all, as the
    node told it last. `kv_use`: None if it does not tell."""

    backend: str
    address: str
    name: str
    state: str
    problem: str
    in_flight: int
    running: int
    waiting: int
    adapters: tuple[str, ...]
    adapter_places: int
    kv_use: float | None
    engine_version: str
    trivet_version: str
