"""How fast a training goes, and how much memory it takes."""

from __future__ import annotations

import resource
import sys
import time

import torch

_UNIT = 1 if sys.platform == "darwin" else 1024  # bytes, of what getrusage tells


class Pace:
    """Tokens a second since it was made, and the most memory that there ever was."""

    def __init__(self, tokens: int) -> None:
        """`tokens`: that the training had seen by now."""
        self._tokens = tokens
        self._begun = time.monotonic()

    def told(self, tokens: int) -> str:
        """For a person; `tokens` that the training has seen."""
        speed = (tokens - self._tokens) / max(1e-9, time.monotonic() - self._begun)
        return f"{speed:,.0f} tokens/s  peak {peak_bytes() / 1e9:.2f} GB"


def peak_bytes() -> int:
    """Of the GPU's memory where there is one in use, else of this process's."""
    if torch.cuda.is_available() and (taken := torch.cuda.max_memory_allocated()):
        return int(taken)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _UNIT
