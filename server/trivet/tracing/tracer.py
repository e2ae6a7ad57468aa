"""Hands the spans of requests to OpenTelemetry's exporter, which sends them in batches from a thread of its own."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from threading import Timer

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter

from trivet.tracing.spans import SpanFactory
from trivet.types.receipt import Receipt

logger = logging.getLogger(__name__)

QUEUE = 8192  # spans; what does not fit is dropped
BATCH = 512
SCHEDULE = 1000  # milliseconds
TIMEOUT = 5.0  # seconds for a batch, its repetitions included
LAST = 2.0  # seconds at the end, after which nothing is tried again


@dataclass(frozen=True, slots=True)
class TracerSettings:
    """`endpoint`: of OTLP over HTTP, such as `http://127.0.0.1:4318/v1/traces`. `authority`: of its certificate, a PEM
    file; the usual ones if absent. `instance`: what this gateway is called."""

    endpoint: str
    version: str
    instance: str
    authority: Path | None = None


class Tracer:
    """Call `record` from one event loop; `close` last, which waits up to `LAST + TIMEOUT` for what is queued."""

    def __init__(self, settings: TracerSettings, exporter: SpanExporter | None = None) -> None:
        """`exporter` in place of one for the settings' endpoint."""
        resource = Resource.create(
            {
                "service.name": "trivet",
                "service.version": settings.version,
                "service.instance.id": settings.instance,
            }
        )
        self._factory = SpanFactory(resource, settings.version)
        self._exporter = exporter or _exporter(settings)
        self._processor = BatchSpanProcessor(
            self._exporter,
            max_queue_size=QUEUE,
            max_export_batch_size=BATCH,
            schedule_delay_millis=SCHEDULE,
        )

    def record(self, receipt: Receipt) -> None:
        """A request has ended. Never raises into the request path."""
        if not receipt.trace_sampled:
            return
        try:
            for span in self._factory.spans(receipt):
                self._processor.on_end(span)
        except Exception:
            logger.exception("the spans of a request are lost")

    def close(self) -> None:
        """Send what is queued and end (blocking)."""
        giving_up = Timer(LAST, self._exporter.shutdown)  # the exporter drops what is left, and repeats nothing
        giving_up.start()
        self._processor.shutdown()  # type: ignore[no-untyped-call]
        giving_up.cancel()
        giving_up.join()


def _exporter(settings: TracerSettings) -> SpanExporter:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    authority = None if settings.authority is None else str(settings.authority)
    return OTLPSpanExporter(settings.endpoint, authority, timeout=TIMEOUT)
