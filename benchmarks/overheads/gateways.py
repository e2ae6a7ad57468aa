"""The gateways of the scripted part, in one process and on one event loop: one door each, one feature different.

Usage: python -m benchmarks.overheads.gateways FOLDER COLLECTOR. Commands: `addresses`, and `settle`, which returns when
the work is done that requests leave behind them: lines of the log, spans.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
import time
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from benchmarks.overheads.features import PLAIN, SCRIPTED, names
from benchmarks.path.load.worker import serve, take_stdout
from tests.support.gateway import harness
from trivet.metering.machine.machine_time import MachineTime
from trivet.metering.receipt_log import ReceiptLog
from trivet.metering.sink import Sink
from trivet.metering.stages import NO_STAGES
from trivet.rpc.intake import IncomingCall, RequestIntake
from trivet.testing import ScriptedBackend
from trivet.tracing import Sampler, Tracer, TracerSettings
from trivet.types.budget import Limit, LimitSet, Owner, Period, Unit
from trivet.types.generation import BackendRequest, Chunk, MachineState
from trivet.types.receipt import Receipt
from trivet.types.request import PUBLIC_TENANT

MESSAGES = 16  # of an answer, as 64 tokens of the real engine make
PACE = 0.004  # seconds between them
USD_PER_HOUR = 2_500_000_000  # nano-USD


class Untraced(RequestIntake):
    """Looks for no trace."""

    def _trace(self, call: IncomingCall) -> None:
        return None


class NoLog(ReceiptLog):
    """Forgets."""

    def append(self, receipt: Receipt) -> None:
        """Nothing."""


class Uncounted(Sink):
    """Logs alone."""

    def record(
        self, receipt: Receipt, token_gaps: Sequence[tuple[float, int]] = (), stages: Mapping[str, float] = NO_STAGES
    ) -> None:
        """As in the sink, without metrics."""
        self._on_receipt(receipt)
        self._log.append(receipt)


class Metered(ScriptedBackend):
    """Each message is a step of the machine: more of them than an engine makes that answers several at once."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self._numbers = itertools.count()
        self._machine = MachineTime(USD_PER_HOUR, 100, time.monotonic_ns())
        self._machine.enter(MachineState.UP, time.monotonic_ns())

    async def generate(self, request: BackendRequest) -> AsyncGenerator[Chunk, None]:
        """As the embedded engine does it."""
        key, machine, first = next(self._numbers), self._machine, True
        machine.begin(key, request.account, len(request.token_ids), time.monotonic_ns())
        try:
            async for chunk in super().generate(request):
                computed = len(request.token_ids) - (chunk.cached_tokens or 0) if first else None
                machine.output(key, 1, computed, last=chunk.finish is not None)
                machine.step(computed or 0, time.monotonic_ns())
                first = False
                yield chunk
        finally:
            if (charge := machine.end(key, time.monotonic_ns())) is not None:
                request.on_charge(charge)


class Gateways:
    """All of them, and what they leave behind."""

    def __init__(self, collector: str) -> None:
        self._collector = collector
        self._addresses: dict[str, str] = {}
        self._logs: list[ReceiptLog] = []
        self._tracers: list[Tracer] = []

    async def open(self, folder: Path, stack: AsyncExitStack) -> None:
        """Serve on free ports."""
        for number, name in enumerate(names(SCRIPTED)):
            place = folder / f"gateway{number}"
            place.mkdir()
            with _made_without(name):
                door = await stack.enter_async_context(harness.gateway(place, **self._settings(name, stack)))
            self._addresses[name] = door.address
            self._logs.append(door.receipts)

    async def handle(self, command: dict[str, Any]) -> dict[str, Any]:
        """`addresses` by gateway, or `settle`."""
        if command["do"] == "settle":
            await asyncio.to_thread(self._settle)
        return dict(self._addresses)

    def _settings(self, name: str, stack: AsyncExitStack) -> dict[str, Any]:
        backend = (Metered if name == "machine" else ScriptedBackend)(["word "] * MESSAGES, interval=PACE)
        given: dict[str, Any] = {"backend": backend, "max_running": 64, "max_queued": 64, "slow_reader_timeout": 30}
        if name == "limits":
            kinds = [(Period.DAY, Unit.REQUESTS), (Period.DAY, Unit.TOKENS), (Period.MONTH, Unit.TOKENS)]
            kinds.append((Period.MONTH, Unit.USD))
            limits = tuple(Limit(Owner.TENANT, PUBLIC_TENANT, period, unit, 10**15) for period, unit in kinds)
            given["limits"] = LimitSet({PUBLIC_TENANT: limits})
        if name.startswith("traced"):
            tracer = Tracer(TracerSettings(self._collector, "0", "benchmark"))
            stack.callback(tracer.close)
            self._tracers.append(tracer)
            given |= {"begin_trace": Sampler(0.1 if name.endswith("0.1") else 1.0).begin, "on_receipt": tracer.record}
        return given

    def _settle(self) -> None:
        for log in self._logs:
            log.flush()
        for tracer in self._tracers:
            tracer._processor.force_flush()


@contextmanager
def _made_without(name: str) -> Iterator[None]:
    """What is put together meanwhile lacks this."""
    instead = {
        "no tracing": ("RequestIntake", Untraced),
        "no log": ("ReceiptLog", NoLog),
        "no metrics": ("Sink", Uncounted),
    }
    with ExitStack() as stack:
        if name in instead:
            stack.enter_context(patch.object(harness, *instead[name]))
        yield


async def main(folder: Path, collector: str) -> None:
    """Serve until stdin ends."""
    results, gateways = take_stdout(), Gateways(collector)
    async with AsyncExitStack() as stack:
        await gateways.open(folder, stack)
        await serve(results, gateways.handle)


if __name__ == "__main__":
    assert PLAIN in names(SCRIPTED)
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
