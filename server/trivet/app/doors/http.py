"""The HTTP door of a gateway, if its configuration asks for one."""

from __future__ import annotations

from trivet.app.doors.listeners import listener_settings
from trivet.config import Config
from trivet.http import Door, ExchangeLimits, HttpListener, HttpServices, HttpSettings, application
from trivet.http.chat import ChatCompletions
from trivet.http.contract import ContractCalls
from trivet.http.models import Models
from trivet.metering.feedback import FeedbackIntake
from trivet.metering.receipt_log import ReceiptLog
from trivet.pipeline.generation import GenerationPipeline
from trivet.pipeline.search import SearchPipeline
from trivet.routing.table import RouteTable
from trivet.rpc.intake import RequestIntake
from trivet.rpc.server import Health

BODY_TIMEOUT = 30.0  # seconds for a client to send a request's body


class HttpDoor:
    """`start` before the engines, `serve` when they are there."""

    def __init__(self, config: Config, health: Health) -> None:
        server, settings = config.file.server, listener_settings(config)
        self._listen = server.http_listen
        self._door = Door(lambda: health.ready)
        limits = ExchangeLimits(server.max_message_bytes, BODY_TIMEOUT, server.slow_reader_timeout)
        self._listener = HttpListener(application(self._door, limits), HttpSettings(tls=settings.tls))

    async def start(self) -> str | None:
        """Bind; where it serves, None if there is to be none. OSError if the address is taken."""
        return None if self._listen is None else await self._listener.start(self._listen)

    def serve(
        self,
        generation: GenerationPipeline,
        search: SearchPipeline,
        feedback: FeedbackIntake,
        receipts: ReceiptLog,
        routes: RouteTable,
        intake: RequestIntake,
    ) -> None:
        """Answer with these from now on, the same that answer gRPC."""
        self._door.serve(
            HttpServices(
                ChatCompletions(generation, intake),
                Models(routes, intake),
                ContractCalls(search, feedback, receipts, intake),
            )
        )

    async def stop(self, grace: float) -> None:
        """Take no new connections; end what is still running after `grace` seconds."""
        await self._listener.stop(grace)
