"""The paths of the HTTP door."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from trivet.errors import BackendUnavailable
from trivet.excerpt import quote
from trivet.http.anthropic import Messages
from trivet.http.anthropic.request import RENAMED as MESSAGE_NAMES
from trivet.http.anthropic.response import error_of
from trivet.http.chat import ChatCompletions
from trivet.http.chat.request import RENAMED
from trivet.http.completions import Completions
from trivet.http.completions.request import RENAMED as COMPLETION_NAMES
from trivet.http.contract import ContractCalls
from trivet.http.documents import DocumentCalls
from trivet.http.exchange import Endpoint, Exchange, ExchangeLimits, Handler
from trivet.http.index_models import IndexModelCalls
from trivet.http.models import Models
from trivet.http.openapi import description
from trivet.http.responses import Responses
from trivet.http.responses.request import RENAMED as RESPONSE_NAMES

STARTING_RETRY_AFTER = 5.0  # seconds: engines take tens of them to start


@dataclass(frozen=True, slots=True)
class HttpServices:
    """What stands behind the paths."""

    chat: ChatCompletions
    models: Models
    contract: ContractCalls
    messages: Messages
    responses: Responses
    documents: DocumentCalls
    completions: Completions
    index_models: IndexModelCalls


class Door:
    """What is served now: nothing but health until the services are there."""

    def __init__(self, ready: Callable[[], bool]) -> None:
        """`ready`: whether requests are answered."""
        self._ready = ready
        self._services: HttpServices | None = None

    def serve(self, services: HttpServices) -> None:
        """From now on requests are theirs."""
        self._services = services

    def endpoint(self, choose: Callable[[HttpServices], Endpoint]) -> Endpoint:
        """An endpoint of the services that tells everybody to come back until they are there."""

        async def handle(exchange: Exchange) -> None:
            if self._services is None:
                raise BackendUnavailable("the server is starting", STARTING_RETRY_AFTER)
            await choose(self._services)(exchange)

        return handle

    async def health(self, _: Request) -> Response:
        """`GET /health`: the process lives."""
        return JSONResponse({"status": "ok"})

    async def ready(self, _: Request) -> Response:
        """`GET /ready`: requests are answered."""
        ready = self._services is not None and self._ready()
        return JSONResponse({"status": "ready" if ready else "not ready"}, 200 if ready else 503)


def application(door: Door, limits: ExchangeLimits) -> Starlette:
    """All paths."""

    def route(
        path: str, method: str, choose: Callable[[HttpServices], Endpoint], names: Mapping[str, str] | None = None
    ) -> Route:
        return Route(path, Handler(door.endpoint(choose), limits, names), methods=[method])

    messages = Handler(door.endpoint(lambda services: services.messages), limits, MESSAGE_NAMES, error_of)
    described = json.dumps(description()).encode()

    async def openapi(_: Request) -> Response:
        return Response(described, media_type="application/json")

    return Starlette(
        routes=[
            route("/v1/chat/completions", "POST", lambda services: services.chat, RENAMED),
            route("/v1/responses", "POST", lambda services: services.responses, RESPONSE_NAMES),
            route("/v1/completions", "POST", lambda services: services.completions, COMPLETION_NAMES),
            Route("/v1/messages", messages, methods=["POST"]),
            route("/v1/embeddings", "POST", lambda services: services.index_models.embed),
            route("/v1/rerank", "POST", lambda services: services.index_models.rerank),
            route("/v1/models", "GET", lambda services: services.models.list),
            route("/v1/models/{model:path}", "GET", lambda services: services.models.show),
            route("/v1/retrieve", "POST", lambda services: services.contract.retrieve),
            route("/v1/feedback", "POST", lambda services: services.contract.submit_feedback),
            route("/v1/receipts/{request_id}", "GET", lambda services: services.contract.receipt),
            route("/v1/documents", "POST", lambda services: services.documents.upsert),
            route("/v1/documents/delete", "POST", lambda services: services.documents.delete),
            route("/v1/indexes", "GET", lambda services: services.documents.indexes),
            Route("/health", door.health),
            Route("/ready", door.ready),
            Route("/openapi.json", openapi),
        ],
        exception_handlers={HTTPException: _unknown},
    )


def _unknown(request: Request, error: Exception) -> Response:
    """No such path, or not with this method."""
    assert isinstance(error, HTTPException)
    known = error.status_code == 405
    message = f"{quote(request.url.path)} does not take {request.method}" if known else f"no {quote(request.url.path)}"
    told = {"message": message, "type": "invalid_request_error", "param": None, "code": "unknown_url"}
    return JSONResponse({"error": told}, error.status_code, error.headers)
