"""From the configuration to traces."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from trivet import __version__
from trivet.config import Config
from trivet.types.receipt import Receipt
from trivet.types.request import TraceContext


@dataclass(frozen=True, slots=True)
class Traces:
    """`begin` gives the trace of a request with this `traceparent`, `record` is told of it when it has ended."""

    begin: Callable[[str | None], TraceContext | None] = lambda _: None
    record: Callable[[Receipt], None] = lambda _: None


@asynccontextmanager
async def open_traces(config: Config) -> AsyncIterator[Traces]:
    """Nothing is traced without an endpoint. What is queued when the block ends is sent."""
    settings = config.file.tracing
    if settings.endpoint is None:
        yield Traces()
        return
    from trivet.tracing import Sampler, Tracer, TracerSettings  # only who traces loads OpenTelemetry

    authority = None if settings.ca_file is None else config.resolve(settings.ca_file)
    tracer = Tracer(TracerSettings(settings.endpoint, __version__, socket.gethostname(), authority))
    try:
        yield Traces(Sampler(settings.share).begin, tracer.record)
    finally:
        await asyncio.to_thread(tracer.close)
