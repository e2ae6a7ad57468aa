"""An OpenTelemetry collector that keeps what it is sent: OTLP over HTTP, as the specification has it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span


class Collector:
    """`spans` by name, as they came."""

    def __init__(self, address: str) -> None:
        self.endpoint = f"http://{address}/v1/traces"
        self.spans: list[Span] = []
        self.resources: list[dict[str, str]] = []

    def named(self, start: str) -> Span:
        """The only span whose name begins so."""
        (found,) = [span for span in self.spans if span.name.startswith(start)]
        return found


def attributes(span: Span) -> dict[str, str | int | float]:
    """Its attributes, by name."""
    return {one.key: getattr(one.value, one.value.WhichOneof("value") or "") for one in span.attributes}


@contextmanager
def collecting() -> Iterator[Collector]:
    """One on a free port."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            for one in ExportTraceServiceRequest.FromString(body).resource_spans:
                collector.resources.append({item.key: item.value.string_value for item in one.resource.attributes})
                for scope in one.scope_spans:
                    collector.spans.extend(scope.spans)
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Silent."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        collector = Collector(f"127.0.0.1:{server.server_address[1]}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield collector
        finally:
            server.shutdown()
            thread.join()
