"""`/v1/models`: routes, as OpenAI lists models. Source: https://platform.openai.com/docs/api-reference/models"""

from __future__ import annotations

import json
import time
from typing import Any

from trivet.errors import NotFound
from trivet.excerpt import quote
from trivet.http.exchange import Exchange
from trivet.routing.table import RouteTable
from trivet.rpc.intake import RequestIntake


class Models:
    """Lists the routes, and shows one."""

    def __init__(self, routes: RouteTable, intake: RequestIntake) -> None:
        self._routes = routes
        self._intake = intake
        self._since = int(time.time())

    async def list(self, exchange: Exchange) -> None:
        """`GET /v1/models`."""
        self._intake.tenant(exchange.call)
        found = {"object": "list", "data": [self._shown(name) for name in sorted(self._routes.routes)]}
        await exchange.respond(json.dumps(found).encode())

    async def show(self, exchange: Exchange) -> None:
        """`GET /v1/models/{model}`."""
        self._intake.tenant(exchange.call)
        name = str(exchange.request.path_params["model"])
        if name not in self._routes.routes:
            raise NotFound(f"no model {quote(name)}, expected the name of a route")
        await exchange.respond(json.dumps(self._shown(name)).encode())

    def _shown(self, name: str) -> dict[str, Any]:
        return {"id": name, "object": "model", "created": self._since, "owned_by": "trivet"}
