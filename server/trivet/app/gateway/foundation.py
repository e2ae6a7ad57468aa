"""What the parts of one gateway share from its first moment."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass

from prometheus_client import CollectorRegistry

from trivet import __version__
from trivet.adapters.lifecycle.slots import AdapterSlots
from trivet.app.adapters.slots import adapter_slots
from trivet.app.progress import Progress
from trivet.app.reload import prices_of
from trivet.config import Config
from trivet.metering.metrics import Metrics
from trivet.metering.prices import PriceSheet
from trivet.metering.warmup_account import WarmupAccount
from trivet.pipeline.admission import Admission


@dataclass(frozen=True, slots=True)
class Foundation:
    """`stack` holds how each part is stopped, in the order of their starts."""

    config: Config
    progress: Progress
    stack: AsyncExitStack
    registry: CollectorRegistry
    metrics: Metrics
    prices: PriceSheet
    warmup_account: WarmupAccount
    admission: Admission
    slots: Mapping[str, AdapterSlots]

    @classmethod
    def of(cls, config: Config, progress: Progress) -> Foundation:
        """Made from the configuration alone."""
        registry = CollectorRegistry()
        metrics, prices, bounds = Metrics(registry), prices_of(config), config.file.admission
        admission = Admission(
            max_running=bounds.max_running,
            max_queued=bounds.max_queued,
            max_queued_tokens=bounds.max_queued_tokens,
            beside_others=max(1, int(bounds.max_running * bounds.share_beside_others)),
        )
        metrics.build.info({"version": __version__})
        metrics.in_flight.set_function(lambda: admission.in_flight)
        metrics.max_running.set(bounds.max_running)
        return cls(
            config, progress, AsyncExitStack(), registry, metrics, prices, WarmupAccount(metrics, prices.backends),
            admission, adapter_slots(config, metrics),
        )  # fmt: skip
