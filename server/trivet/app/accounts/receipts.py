"""From the configuration to the request log."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from trivet.config import Config
from trivet.metering.machine.machine_time import MachineTime
from trivet.metering.machine.statements import MachineStatements
from trivet.metering.metrics import Metrics
from trivet.metering.receipt_log import LogLimits, QueueLimits, ReceiptLog
from trivet.stores.data_folder import DataFolder


@asynccontextmanager
async def open_receipts(
    config: Config,
    folder: DataFolder,
    metrics: Metrics,
    machines: Mapping[str, MachineTime],
    beside: Sequence[Path] = (),
) -> AsyncIterator[ReceiptLog]:
    """The log of the data folder, in which what `machines` (by backend) cost is stated from time to time; what waits
    to be written when the block ends is written. `beside`: the logs of other processes of this server."""
    settings = config.file.server.receipts
    log = ReceiptLog(
        folder.receipts,
        limits=LogLimits(settings.file_bytes, settings.file_age, settings.total_bytes),
        queue=QueueLimits(settings.queue_bytes),
        on_error=metrics.receipt_log_errors.inc,
        on_lost=metrics.receipts_lost.inc,
        beside=beside,
    )
    statements = MachineStatements(machines, log.note)
    statements.start()
    try:
        yield log
    finally:
        await statements.close()
        await asyncio.to_thread(log.close)
