"""The listeners of one gateway: gRPC for clients and for operators, and HTTP where it is configured."""

from __future__ import annotations

from dataclasses import replace

from trivet.app.doors.listeners import listener_settings
from trivet.config import Config
from trivet.http import Door, ExchangeLimits, HttpListener, HttpServices, HttpSettings, application, is_loopback
from trivet.kserve import SERVICE, InferenceModels, OpenInferenceServicer, add_to_server
from trivet.rpc.admin import AdminServicer
from trivet.rpc.inference import InferenceServicer
from trivet.rpc.server import Health, Listener, StartingServicer

BODY_TIMEOUT = 30.0  # seconds for a client of HTTP to send a request's body


class Doors:
    """`open` before the engines start, `serve` when they are there, `close` at the end."""

    def __init__(self, config: Config, health: Health, *, shared_ports: bool = False) -> None:
        self._server = config.file.server
        self._keys = bool(config.file.keys)
        self._settings = replace(listener_settings(config), shared_port=shared_ports)
        self._health = health
        self._inference, self._admin = StartingServicer(), StartingServicer()
        self._open_inference = OpenInferenceServicer(lambda: health.ready)
        self._http = Door(lambda: health.ready)
        self._listeners: list[Listener | HttpListener] = []

    async def open(self) -> dict[str, str]:
        """Bind all; where each serves, by its name in the configuration. OSError if an address is taken.

        This comes before the engines: from now on health tells that the process lives and is not ready, so that nobody
        kills it for starting, and calls are told to come back.
        """
        await self._health.set_ready(False)
        clients, operators = Listener(self._settings, self._health), Listener(self._settings, self._health)
        clients.serve_inference(self._inference)
        clients.serve(add_to_server, self._open_inference, SERVICE)
        operators.serve_admin(self._admin)
        addresses: dict[str, str] = {}
        for name, listener in (("admin_listen", operators), ("listen", clients)):
            addresses[name] = await listener.start(getattr(self._server, name))
            self._listeners.append(listener)
        if self._server.http_listen is not None:
            limits = ExchangeLimits(self._server.max_message_bytes, BODY_TIMEOUT, self._server.slow_reader_timeout)
            second = HttpListener(application(self._http, limits), self._http_settings(self._server.http_listen))
            addresses["http_listen"] = await second.start(self._server.http_listen)
            self._listeners.append(second)
        return addresses

    def _http_settings(self, listen: str) -> HttpSettings:
        """Without keys a page of another origin must not reach what is for this machine alone."""
        only_loopback = not self._keys and is_loopback(listen.rpartition(":")[0].encode())
        shared = self._settings.shared_port
        return HttpSettings(tls=self._settings.tls, only_loopback=only_loopback, shared_port=shared)

    def serve(
        self, inference: InferenceServicer, admin: AdminServicer, http: HttpServices, models: InferenceModels
    ) -> None:
        """From now on requests are theirs."""
        self._inference.serve(inference)
        self._open_inference.serve(models)
        self._admin.serve(admin)
        self._http.serve(http)

    async def close(self, grace: float) -> None:
        """Take no new connections; end what is still running after `grace` seconds."""
        for listener in self._listeners:
            await listener.stop(grace)
