"""What a trial found."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Outcome(Enum):
    """How a trial ended."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    TOO_SLOW = "too_slow"
    TOO_LARGE = "too_large"


@dataclass(frozen=True, slots=True)
class Verdict:
    """`refusal`: what is wrong, in words, unless accepted. `memory_bytes` of the compiled grammar."""

    outcome: Outcome
    refusal: str = ""
    memory_bytes: int = 0
