"""From the configuration to the request log."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from trivet.config import Config
from trivet.metering.metrics import Metrics
from trivet.metering.receipt_log import LogLimits, QueueLimits, ReceiptLog
from trivet.stores.data_folder import DataFolder


@asynccontextmanager
async def open_receipts(config: Config, folder: DataFolder, metrics: Metrics) -> AsyncIterator[ReceiptLog]:
    """The log of the data folder; what waits to be written when the block ends is written."""
    settings = config.file.server.receipts
    log = ReceiptLog(
        folder.receipts,
        limits=LogLimits(settings.file_bytes, settings.file_age, settings.total_bytes),
        queue=QueueLimits(settings.queue_bytes),
        on_error=metrics.receipt_log_errors.inc,
        on_lost=metrics.receipts_lost.inc,
    )
    try:
        yield log
    finally:
        await asyncio.to_thread(log.close)
