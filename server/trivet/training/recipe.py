"""What decides the weights of an adapter."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Recipe:
    """What decides the weights, together with the base model, the chats and the libraries.

    `threads` is here because sums in another order are other sums.
    """

    rank: int = 8
    alpha: int = 16
    steps: int = 1000
    lr: float = 1e-3
    warm_up: int = 30
    batch_tokens: int = 2048
    seed: int = 1
    threads: int = 1

    def rate(self, step: int) -> float:
        """Linear warm-up, then linear decay to nothing."""
        decay = (self.steps - step) / max(1, self.steps - self.warm_up)
        return self.lr * min((step + 1) / max(1, self.warm_up), decay)
