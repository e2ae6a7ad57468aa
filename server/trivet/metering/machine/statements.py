"""What the machines' time went to, stated in the request log: with its receipts, all that the machines cost."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from itertools import count

from trivet.metering.machine.machine_time import MachineTime

EVERY = 60.0  # seconds: what a crash leaves unsaid is at most that old


class MachineStatements:
    """Sums since the beginning, whole numbers of nanoseconds and nano-USD, when it starts, now and then, and at the
    end. All calls come from the event loop that the accounts belong to.

    At each statement, and for each machine,
        sum of `nanoseconds` + `in_progress_ns` = `wall_ns`
        sum of `nano_usd` = the whole part of `rate_nano_usd_per_hour` times the hours of `nanoseconds`
    and once nothing is in the engine, `nano_usd.requests` is the sum of the receipts' cost of this `run`, and
    `nano_usd.shadow` that of the copies'.
    """

    def __init__(
        self,
        machines: Mapping[str, MachineTime],
        write: Callable[[Mapping[str, object]], None],
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """`machines`: by backend. `clock`: theirs."""
        self._machines = machines
        self._write = write
        self._clock = clock
        self._run = secrets.token_hex(8)
        self._numbers = count(1)
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """State where the accounts are, and go on with it."""
        self.state()
        if self._machines:
            self._task = asyncio.create_task(self._go_on(), name="statements of the machines' time")

    async def close(self) -> None:
        """The last statement."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self.state()

    def state(self) -> None:
        """One line for each machine, of this moment."""
        number, at = next(self._numbers), datetime.now(UTC).isoformat()
        for backend, machine in self._machines.items():
            machine.advance(self._clock())
            self._write(
                {
                    "machine": backend,
                    "run": self._run,
                    "number": number,
                    "at": at,
                    "rate_nano_usd_per_hour": machine.rate,
                    "prompt_token_weight": machine.prompt_weight,
                    "weight_version": machine.weight_version,
                    "wall_ns": machine.wall_time,
                    "in_progress_ns": machine.in_progress,
                    "nanoseconds": {account.value: value for account, value in machine.nanoseconds.items()},
                    "nano_usd": {account.value: value for account, value in machine.nano_usd.items()},
                }
            )

    async def _go_on(self) -> None:
        while True:
            await asyncio.sleep(EVERY)
            self.state()
