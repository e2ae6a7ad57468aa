"""Who may call the vector process: whoever knows its key, of this start or out of a file."""

from __future__ import annotations

import hmac
import os
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc

METADATA = "api-key"  # Qdrant's own, which its client sends


_SHORTEST = 32  # characters
_LONGEST = 4096  # bytes of the file


def read_key(file: Path) -> str:
    """The key in a file that its owner alone may read; raises ValueError and says what is wrong with it."""
    try:
        with file.open("rb") as opened:
            mode = stat.S_IMODE(os.fstat(opened.fileno()).st_mode)
            if mode & 0o077:
                raise ValueError(f"{file} may be read by others (mode {mode:04o}), expected 0600")
            key = opened.read(_LONGEST).decode("ascii").strip()
    except OSError as error:
        raise ValueError(f"{file} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError:
        raise ValueError(f"{file} has other characters than ASCII") from None
    if len(key) < _SHORTEST or not key.isprintable():
        raise ValueError(f"{file}: expected a key of at least {_SHORTEST} printable characters, got {len(key)}")
    return key


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
