"""`/v1/models`: routes, as OpenAI lists models. Source: https://platform.openai.com/docs/api-reference/models"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any

from trivet.errors import UnknownRoute
from trivet.http.exchange import Exchange
from trivet.routing.table import RouteTable
from trivet.rpc.intake import RequestIntake


class Models:
    """Lists the routes that a caller may call, and shows one."""

    def __init__(self, routes: RouteTable, intake: RequestIntake) -> None:
        self._routes = routes
        self._intake = intake
        self._since = int(time.time())

    async def list(self, exchange: Exchange) -> None:
        """`GET /v1/models`."""
        found = {"object": "list", "data": [self._shown(name) for name in self._callable(exchange)]}
        await exchange.respond(json.dumps(found).encode())

    async def show(self, exchange: Exchange) -> None:
        """`GET /v1/models/{model}`."""
        callable_, name = self._callable(exchange), str(exchange.request.path_params["model"])
        if name not in callable_:
            raise UnknownRoute(name)
        await exchange.respond(json.dumps(self._shown(name)).encode())

    def _callable(self, exchange: Exchange) -> Sequence[str]:
        """Routes that the caller's key is for."""
        allowed = self._intake.caller(exchange.call).routes
        return sorted(name for name in self._routes.routes if allowed is None or name in allowed)

    def _shown(self, name: str) -> dict[str, Any]:
        return {"id": name, "object": "model", "created": self._since, "owned_by": "trivet"}
