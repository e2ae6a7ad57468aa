"""Services of a server that is starting: every call is told to come back soon, until there is something to serve."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from trivet.errors import BackendUnavailable
from trivet.rpc.call import Context, rpc_call

RETRY_AFTER = 5.0  # seconds: engines take tens of them to start


class StartingServicer:
    """Stands for a generated service's servicer; `serve` gives it the real one, for calls from then on.

    Calls before that end with UNAVAILABLE, RetryInfo included.
    """

    def __init__(self) -> None:
        self._servicer: Any = None

    def serve(self, servicer: Any) -> None:
        """From now on calls are `servicer`'s."""
        self._servicer = servicer

    def __getattr__(self, method: str) -> Callable[[Any, Context], Awaitable[Any]]:
        async def handle(request: Any, context: Context) -> Any:
            if self._servicer is not None:
                return await getattr(self._servicer, method)(request, context)
            async with rpc_call(context):
                raise BackendUnavailable("the server is starting", RETRY_AFTER)

        return handle
