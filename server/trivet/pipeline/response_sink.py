"""Who reads an answer while it is made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from trivet.types.generation import CallDelta, TokenLogprob
from trivet.types.receipt import Receipt


class ResponseSink(Protocol):
    """Told about one request's answers, piece by piece. `choice`: of which of them a piece is, 0 for the first."""

    async def delta(self, text: str, choice: int) -> None:
        """Some more text. Returns when the reader can take more; raises SlowReader if that takes too long."""
        ...

    async def reasoning(self, text: str, choice: int) -> None:
        """Some more of what the model thinks, apart from its text; the same as `delta` otherwise."""
        ...

    async def tool_calls(self, deltas: Sequence[CallDelta], choice: int) -> None:
        """Some more of the calls that the model asks for; all of them come here, as they are written."""
        ...

    async def logprobs(self, tokens: Sequence[TokenLogprob], choice: int) -> None:
        """Of the tokens of what comes next, where they were asked for."""
        ...

    def closed(self, receipt: Receipt) -> None:
        """The account is closed: also called for a failed and a cancelled request, exactly once."""
        ...


class WholeSink:
    """Reads nothing on the way: the pipeline keeps the whole answer, which is the response."""

    def __init__(self, close: Callable[[Receipt], None] = lambda receipt: None) -> None:
        """`close` is given the receipt."""
        self._close = close

    async def delta(self, text: str, choice: int) -> None:
        """See `ResponseSink.delta`."""

    async def reasoning(self, text: str, choice: int) -> None:
        """See `ResponseSink.reasoning`."""

    async def tool_calls(self, deltas: Sequence[CallDelta], choice: int) -> None:
        """See `ResponseSink.tool_calls`."""

    async def logprobs(self, tokens: Sequence[TokenLogprob], choice: int) -> None:
        """See `ResponseSink.logprobs`."""

    def closed(self, receipt: Receipt) -> None:
        """See `ResponseSink.closed`."""
        self._close(receipt)
