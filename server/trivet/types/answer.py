"""What a request gets back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trivet.types.generation import FinishReason, RequestedCall, TokenLogprob
from trivet.types.metadata.where import Where
from trivet.types.passage import Expansion, Passage
from trivet.types.receipt import Receipt
from trivet.types.request import Caller

Vector = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Choice:
    """One of a request's answers.

    `reasoning`: what the model thought, apart from its `text`; `tool_calls`: what it asks to have called.
    `logprobs`: of each token, where they were asked for.
    """

    text: str
    finish: FinishReason
    reasoning: str = ""
    tool_calls: tuple[RequestedCall, ...] = ()
    logprobs: tuple[TokenLogprob, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """All that a request gets back: one choice, or as many as it asked for.

    `passages` were given to the model, best first: they are its citations.
    """

    choices: tuple[Choice, ...]
    passages: tuple[Passage, ...]
    receipt: Receipt

    @property
    def first(self) -> Choice:
        """The answer, or the first of several; the other properties are what it has."""
        return self.choices[0]

    @property
    def text(self) -> str:
        """See `Choice`."""
        return self.first.text

    @property
    def finish(self) -> FinishReason:
        """See `Choice`."""
        return self.first.finish

    @property
    def reasoning(self) -> str:
        """See `Choice`."""
        return self.first.reasoning

    @property
    def tool_calls(self) -> tuple[RequestedCall, ...]:
        """See `Choice`."""
        return self.first.tool_calls

    @property
    def logprobs(self) -> tuple[TokenLogprob, ...]:
        """See `Choice`."""
        return self.first.logprobs


@dataclass(frozen=True, slots=True)
class EmbedCall:
    """Texts for the embedding model of an index. Times: the event loop's clock."""

    request_id: str
    caller: Caller
    index: str
    texts: tuple[str, ...]
    arrived: float
    deadline: float | None = None
    as_queries: bool = False
    dimensions: int | None = None

    @property
    def most_tokens(self) -> int:
        """An upper bound: a token of text has at least one byte."""
        return sum(len(text.encode()) for text in self.texts)


@dataclass(frozen=True, slots=True)
class Embedded:
    """A vector for each text, and the tokens of all."""

    vectors: tuple[Vector, ...]
    tokens: int


@dataclass(frozen=True, slots=True)
class RerankCall:
    """Texts to be scored for a question by the cross-encoder of an index. Times: the event loop's clock."""

    request_id: str
    caller: Caller
    index: str
    query: str
    texts: tuple[str, ...]
    arrived: float
    deadline: float | None = None

    @property
    def most_tokens(self) -> int:
        """The question is read with each text."""
        return sum(len(text.encode()) for text in self.texts) + len(self.texts) * (len(self.query.encode()) + 8)


@dataclass(frozen=True, slots=True)
class Reranked:
    """A score for each text, on the model's own scale, and the tokens that it read."""

    scores: tuple[float, ...]
    tokens: int


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
    expansion: Expansion | None = None
    where: Where | None = None
    more: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RetrieveResult:
    """What a search without a generation gets back."""

    passages: tuple[Passage, ...]
    index: str
    snapshot: str
    retrieval_ms: float
    confidence: float | None = None
    degraded: tuple[str, ...] = ()
