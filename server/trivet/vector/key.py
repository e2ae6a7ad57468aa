"""Who may call the vector process: whoever knows the key of this start."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from typing import Any

import grpc

METADATA = "api-key"  # Qdrant's own, which its client sends


class KeyCheck(grpc.aio.ServerInterceptor):
    """Answers UNAUTHENTICATED to every call without the key, before its message is read."""

    def __init__(self, key: str) -> None:
        self._key = key.encode()

        async def refuse(_request: Any, context: Any) -> None:
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "this process serves the gateway that started it")

        self._refusal: Any = grpc.unary_unary_rpc_method_handler(refuse)

    async def intercept_service(self, continuation: Callable[[Any], Awaitable[Any]], handler_call_details: Any) -> Any:
        """gRPC's hook: the method's own handler, or the refusal."""
        for name, value in handler_call_details.invocation_metadata or ():
            if name == METADATA and hmac.compare_digest(str(value).encode(), self._key):
                return await continuation(handler_call_details)
        return self._refusal
