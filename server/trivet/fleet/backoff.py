"""Waits that double."""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(slots=True)
class Backoff:
    """From `first` to `most` seconds, less a random part of up to half, so that many gateways do not come in step."""

    first: float
    most: float
    attempts: int = 0

    def next_delay(self) -> float:
        """Seconds to wait before the next attempt."""
        whole = min(self.most, self.first * 2.0 ** min(self.attempts, 30))
        self.attempts += 1
        return whole * (1 - random.random() / 2)

    def reset(self) -> None:
        """It went well: begin anew."""
        self.attempts = 0
