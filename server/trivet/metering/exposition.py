"""The /metrics listener: Trivet's own metrics and, unchanged beside them, the engine's."""

from __future__ import annotations

import gzip
import socket
from collections.abc import Callable, Iterable, Sequence
from threading import Thread
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server
from wsgiref.types import StartResponse, WSGIEnvironment

from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, ThreadingWSGIServer
from prometheus_client.openmetrics import exposition as openmetrics

IDLE_SECONDS = 30.0  # a scraper that says nothing for so long is gone
_TEXT, _OPENMETRICS = "text/plain", "application/openmetrics-text"
_TYPES_WITH_CREATED = frozenset({"counter", "histogram", "summary"})


class _Chain(CollectorRegistry):
    """Several registries as one. A metric that several have is one family: the format allows each name once.

    Without the times at which series began: they are an eighth of all samples, and nothing here asks for them.
    """

    def __init__(self, registries: Sequence[CollectorRegistry], before: Callable[[], None]) -> None:
        super().__init__(auto_describe=False)
        self._registries = registries
        self._before = before

    def collect(self) -> Iterable[Metric]:
        self._before()
        families: dict[str, Metric] = {}
        for registry in self._registries:
            for metric in registry.collect():
                family = families.setdefault(metric.name, metric)
                if metric.type in _TYPES_WITH_CREATED:
                    created = metric.name + "_created"
                    metric.samples = [sample for sample in metric.samples if sample.name != created]
                if family is not metric:
                    family.samples.extend(metric.samples)
        return families.values()


def exposition(registry: CollectorRegistry, accept: str) -> tuple[str, bytes]:
    """Content type and body for a scraper that sends this `Accept`: OpenMetrics 1.0.0 if it wants that, else text.

    Names are never rewritten. prometheus_client makes `_` of `:` in OpenMetrics unless the scraper asks for UTF-8
    names, and so hides all of vLLM's metrics from a Prometheus 2. `:` is legal in every version of both formats:
    encoded as if UTF-8 had been asked for, a legal name stays as it is, without quotes.
    """
    if _prefers_openmetrics(accept):
        encoded: bytes = openmetrics.generate_latest(  # type: ignore[no-untyped-call]
            registry, escaping=openmetrics.ALLOWUTF8, version="1.0.0"
        )
        return openmetrics.CONTENT_TYPE_LATEST, encoded
    return CONTENT_TYPE_PLAIN_0_0_4, generate_latest(registry, escaping=openmetrics.ALLOWUTF8)


def _prefers_openmetrics(accept: str) -> bool:
    """By the weights (`q`) of the header; who accepts both alike gets OpenMetrics, which can carry exemplars."""
    weights: dict[str, float] = {}
    for entry in accept.split(","):
        kind, *parameters = (part.strip().lower() for part in entry.split(";"))
        weight = next((part.removeprefix("q=") for part in parameters if part.startswith("q=")), "1")
        try:
            weights[kind] = max(float(weight), weights.get(kind, 0.0))
        except ValueError:
            continue  # no weight: as if the entry were not there
    return weights.get(_OPENMETRICS, 0.0) > 0 and weights[_OPENMETRICS] >= weights.get(_TEXT, 0.0)


class _Handler(WSGIRequestHandler):
    timeout = IDLE_SECONDS

    def log_message(self, format: str, *args: object) -> None:
        """A scrape is no event."""


class MetricsListener:
    """Serves the registries on an address of its own, in a thread of its own."""

    def __init__(
        self, listen: str, registries: Sequence[CollectorRegistry], before: Callable[[], None] = lambda: None
    ) -> None:
        """Bind and serve; OSError if the address is taken. `before` is called at each scrape, in its thread."""
        self._registry = _Chain(registries, before)
        host, _, port = listen.rpartition(":")
        found = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, _, _, _, address = found[0]

        class _Server(ThreadingWSGIServer):
            address_family = family

        self._server: WSGIServer = make_server(str(address[0]), int(port), self._answer, _Server, _Handler)
        self._thread = Thread(target=self._server.serve_forever, name="metrics", daemon=True)
        self._thread.start()
        self.address = f"{host}:{self._server.server_port}"

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _answer(self, environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
        if environ["REQUEST_METHOD"] != "GET":
            start_response("405 Method Not Allowed", [("Allow", "GET"), ("Content-Length", "0")])
            return []
        kind, body = exposition(self._registry, environ.get("HTTP_ACCEPT", ""))
        headers = [("Content-Type", kind), ("Vary", "Accept, Accept-Encoding")]
        if "gzip" in environ.get("HTTP_ACCEPT_ENCODING", ""):
            body = gzip.compress(body, compresslevel=1)
            headers.append(("Content-Encoding", "gzip"))
        start_response("200 OK", [*headers, ("Content-Length", str(len(body)))])
        return [body]
