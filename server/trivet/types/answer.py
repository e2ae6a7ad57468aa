"""What a request gets back."""

from __future__ import annotations

from dataclasses import dataclass

from trivet.types.generation import FinishReason, RequestedCall
from trivet.types.passage import Passage
from trivet.types.receipt import Receipt


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer. `passages` were given to the model, best first: they are its citations.

    `reasoning`: what the model thought, apart from its `text`; `tool_calls`: what it asks to have called.
    """

    text: str
    finish: FinishReason
    passages: tuple[Passage, ...]
    receipt: Receipt
    reasoning: str = ""
    tool_calls: tuple[RequestedCall, ...] = ()


@dataclass(frozen=True, slots=True)
class RetrieveCall:
    """A search without a generation: of a route's index, or of one by its name. Times: the event loop's clock."""

    request_id: str
    tenant: str
    route: str
    text: str
    arrived: float
    deadline: float | None = None
    unit_id: str = ""
    top_k: int | None = None
    tags: tuple[str, ...] = ()
    index: str = ""


@dataclass(frozen=True, slots=True)
class RetrieveResult:
    """What a search without a generation gets back."""

    passages: tuple[Passage, ...]
    index: str
    snapshot: str
    retrieval_ms: float
    confidence: float | None = None
    degraded: tuple[str, ...] = ()
