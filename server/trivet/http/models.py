"""`/v1/models`: routes, as OpenAI lists models. Source: https://platform.openai.com/docs/api-reference/models"""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable, Sequence
from itertools import islice
from typing import Any

from trivet.errors import UnknownRoute
from trivet.http.exchange import Exchange
from trivet.routing.table import RouteTable
from trivet.rpc.intake import RequestIntake
from trivet.types.variant import AdapterBy, AdapterChoice, Route, VersionRef

MOST_ADAPTERS = 1000
ListAdapters = Callable[[], Awaitable[Sequence[VersionRef]]]


async def _no_adapters() -> Sequence[VersionRef]:
    return ()


def _choices(route: Route) -> Sequence[AdapterChoice]:
    """How the route's requests choose an adapter, by each of its variants; nothing if they do not."""
    choices = [variant.adapter_choice for variant in route.variants.values()]
    return [choice for choice in choices if choice is not None and choice.by is AdapterBy.REQUEST]


class Models:
    """Lists the routes that a caller may call, and shows one."""

    def __init__(self, routes: RouteTable, intake: RequestIntake, adapters: ListAdapters = _no_adapters) -> None:
        """`adapters` lists those that the sources have, for routes that leave the choice to requests."""
        self._routes = routes
        self._intake = intake
        self._adapters = adapters
        self._since = int(time.time())

    async def list(self, exchange: Exchange) -> None:
        """`GET /v1/models`."""
        found = {"object": "list", "data": [self._shown(name) for name in await self._callable(exchange)]}
        await exchange.respond(json.dumps(found).encode())

    async def show(self, exchange: Exchange) -> None:
        """`GET /v1/models/{model}`."""
        callable_, name = await self._callable(exchange), str(exchange.request.path_params["model"])
        if name not in callable_:
            raise UnknownRoute(name)
        await exchange.respond(json.dumps(self._shown(name)).encode())

    async def _callable(self, exchange: Exchange) -> Sequence[str]:
        """Routes that the caller's key is for, and `route:adapter` for each adapter that its requests may choose."""
        caller = self._intake.caller(exchange.call)
        routes = {name: route for name, route in self._routes.routes.items() if caller.may_call(name)}
        choosing = {name: found for name, route in routes.items() if (found := _choices(route))}
        adapters = await self._adapters() if choosing else ()
        chosen = (
            f"{name}:{ref}"
            for name, choices in choosing.items()
            for ref in adapters
            if all(choice.allows(caller.tenant, ref) for choice in choices)
        )
        return sorted([*routes, *islice(chosen, MOST_ADAPTERS)])

    def _shown(self, name: str) -> dict[str, Any]:
        return {"id": name, "object": "model", "created": self._since, "owned_by": "trivet"}
