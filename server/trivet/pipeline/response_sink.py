"""Who reads an answer while it is made."""

from __future__ import annotations

from typing import Protocol

from trivet.types.receipt import Receipt


class ResponseSink(Protocol):
    """Told about one request's answer, piece by piece."""

    async def delta(self, text: str) -> None:
        """Some more text. Returns when the reader can take more; raises SlowReader if that takes too long."""
        ...

    async def reasoning(self, text: str) -> None:
        """Some more of what the model thinks, apart from its text; the same as `delta` otherwise."""
        ...

    def closed(self, receipt: Receipt) -> None:
        """The account is closed: also called for a failed and a cancelled request, exactly once."""
        ...
