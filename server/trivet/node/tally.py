"""What a node's engine did for gateways: counted here, so that their accounts can be held against it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from trivet.types.generation import Chunk


class Outcome(Enum):
    """How a request ended."""

    FINISHED = "finished"
    ABORTED = "aborted"
    FAILED = "failed"


@dataclass(slots=True)
class Tally:
    """Since the start of the process, whatever became of the engine. Tokens are those that it handed over, sent or not,
    by the kinds of the gateways' own metrics."""

    requests: dict[Outcome, int] = field(default_factory=lambda: dict.fromkeys(Outcome, 0))
    input_uncached: int = 0
    input_cached: int = 0
    output: int = 0

    def add(self, chunk: Chunk) -> None:
        """Some tokens came out of it."""
        self.output += chunk.tokens
        if chunk.input_tokens is not None:
            cached = chunk.cached_tokens or 0
            self.input_cached += cached
            self.input_uncached += chunk.input_tokens - cached
