"""The /metrics listener: Trivet's own metrics and, unchanged beside them, the engine's."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from threading import Thread
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, Metric, start_http_server


class _Chain(CollectorRegistry):
    """Several registries as one. A metric that several have is one family: the format allows each name once."""

    def __init__(self, registries: Sequence[CollectorRegistry]) -> None:
        super().__init__(auto_describe=False)
        self._registries = registries

    def collect(self) -> Iterable[Metric]:
        families: dict[str, Metric] = {}
        for registry in self._registries:
            for metric in registry.collect():
                family = families.setdefault(metric.name, metric)
                if family is not metric:
                    family.samples.extend(metric.samples)
        return families.values()


class MetricsListener:
    """Serves the registries on an address of its own, in a thread of its own."""

    def __init__(self, listen: str, registries: Sequence[CollectorRegistry]) -> None:
        """Bind and serve; OSError if the address is taken."""
        host, _, port = listen.rpartition(":")
        self._server: WSGIServer
        self._thread: Thread
        self._server, self._thread = start_http_server(int(port), host.strip("[]"), _Chain(registries))
        self.address = f"{host}:{self._server.server_port}"

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
