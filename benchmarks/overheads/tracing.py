"""Tracing alone: what a request's trace takes of a process that does nothing else.

Usage: python -m benchmarks.overheads.tracing COLLECTOR. Its command says `share`, of the requests that are traced, and
`requests`; the result is `seconds` of the processor for each, of all threads, until the spans are sent.
"""

from __future__ import annotations

import asyncio
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from benchmarks.path.load.worker import serve, take_stdout
from trivet.tracing import Sampler, Tracer, TracerSettings
from trivet.types.receipt import Receipt

AT_ONCE = 1000  # requests whose spans are sent before more are made: the tracer's queue holds them


class Tracing:
    """What the gateway does for the trace of a request, again and again, with a receipt like the scripted gateways'."""

    def __init__(self, collector: str) -> None:
        self._tracer = Tracer(TracerSettings(collector, "0", "benchmark"))
        self._receipt = Receipt(
            request_id="3c60ada3f6d14d7e22095a6735d3d9a1",
            tenant="public",
            route="plain",
            variant="stable",
            created_at=datetime.now(UTC),
            code="OK",
            backend="scripted",
            prompt="answers@1",
            input_tokens=93,
            cached_tokens=64,
            expected_cached_tokens=64,
            output_tokens=64,
            queue_ms=0.1,
            engine_queue_ms=0.1,
            ttft_ms=4.0,
            prefill_ms=4.0,
            decode_ms=60.0,
            total_ms=64.9,
            gateway_ms=0.7,
        )

    async def handle(self, command: dict[str, Any]) -> dict[str, Any]:
        """Trace `share` of so many requests."""
        return {"seconds": await asyncio.to_thread(self._measure, command["share"], command["requests"])}

    def _measure(self, share: float, requests: int) -> float:
        sampler = Sampler(share)
        started = time.process_time()
        for number in range(requests):
            trace = sampler.begin(None)
            told = self._receipt
            if trace is not None:
                told = replace(told, trace_id=trace.trace_id, trace_sampled=trace.sampled)
            self._tracer.record(told)
            if number % AT_ONCE == AT_ONCE - 1:
                self._tracer._processor.force_flush()
        self._tracer._processor.force_flush()
        return (time.process_time() - started) / requests


if __name__ == "__main__":
    asyncio.run(serve(take_stdout(), Tracing(sys.argv[1]).handle))
