"""The adapter leg: where adapters come from, and what uses them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from trivet.adapters.lifecycle.demand import AdapterDemand
from trivet.adapters.lifecycle.manager import AdapterManager
from trivet.adapters.lifecycle.settings import LifecycleSettings
from trivet.adapters.on_demand.adapters import OnDemandAdapters
from trivet.adapters.on_demand.settings import OnDemandSettings
from trivet.adapters.pins import AdapterPins
from trivet.adapters.preflight.base_model import BaseModel
from trivet.adapters.preflight.preflight import PreflightResult, check
from trivet.adapters.settings import AdapterSettings
from trivet.adapters.sources.source import AdapterSource
from trivet.adapters.staging.staging import AdapterStaging
from trivet.app.backend import adapter_backend
from trivet.config import Config
from trivet.errors import AdapterRejected
from trivet.metering.metrics import Metrics
from trivet.ports import Backend, DesiredAdapterStore
from trivet.stores.data_folder import DataFolder
from trivet.types.variant import VersionRef


@dataclass(frozen=True, slots=True)
class AdapterParts:
    """What manages a backend's adapters, and what brings in those that requests choose."""

    manager: AdapterManager
    on_demand: OnDemandAdapters
    pins: AdapterPins

    async def close(self) -> None:
        """End all of it, before the state store."""
        await self.on_demand.close()
        await self.manager.close()
        self.pins.close()


async def adapter_parts(
    config: Config,
    folder: DataFolder,
    backend: Backend,
    demand: AdapterDemand,
    desired: DesiredAdapterStore,
    metrics: Metrics,
) -> AdapterParts:
    """Of one backend; loads are counted. `demand` is live. Raises FailedPrecondition, StateUnavailable for the pins."""
    section = config.file.backends[backend.name]
    settings = adapter_settings(config, folder, backend.name)

    def on_load(outcome: str, seconds: float) -> None:
        metrics.adapter_loads.labels(outcome).inc()
        metrics.adapter_load.observe(seconds)

    lifecycle = LifecycleSettings(host_places=section.max_cpu_loras, max_loads=section.max_adapter_loads)
    staging, pins = AdapterStaging(settings), await AdapterPins.open(folder.adapter_pins)
    manager = AdapterManager(staging, backend, demand, desired, lifecycle, on_load, pins)

    def on_start(outcome: str, seconds: float) -> None:
        metrics.adapter_cold_starts.labels(outcome).inc()
        metrics.adapter_cold_start.observe(seconds)

    bounds = config.file.adapters_on_demand
    on_demand_settings = OnDemandSettings(
        disk_bytes=bounds.disk_bytes,
        host_places=section.max_cpu_loras,
        at_once=section.max_adapter_loads,
        max_waiting=bounds.max_waiting,
        max_waiting_per_tenant=bounds.max_waiting_per_tenant,
        failure_memory=bounds.failure_memory,
    )
    on_demand = OnDemandAdapters(manager, staging, demand, pins, on_demand_settings, on_start)
    metrics.adapter_cold_waiting.set_function(lambda: on_demand.waiting)
    metrics.adapter_copies.set_function(lambda: on_demand.copies)
    metrics.adapter_copied_bytes.set_function(lambda: on_demand.copied_bytes)
    return AdapterParts(manager, on_demand, pins)


def adapter_settings(config: Config, folder: DataFolder, backend: str) -> AdapterSettings:
    """Where adapters come from, where their copies go, and what they must fit."""
    return AdapterSettings(
        roots=config.adapter_roots,
        staging=folder.adapters,
        base_model=config.model_folder(backend),
        max_rank=config.file.backends[backend].max_lora_rank,
        max_bytes=config.file.adapter_source.max_bytes,
        fetch_seconds=config.file.adapter_source.timeout,
    )


def check_folder(config: Config, folder: Path) -> tuple[VersionRef, PreflightResult]:
    """Check an adapter's folder, named `<name>/<version>`, as a server with this configuration would.

    Raises AdapterRejected with what is wrong and what was expected.
    """
    name = adapter_backend(config)
    section = config.file.backends[name]
    folder = folder.resolve()
    ref = folder_ref(folder)
    settings = AdapterSettings((folder.parent.parent,), folder, config.model_folder(name), section.max_lora_rank)
    AdapterSource(settings.roots, settings.max_bytes).find(ref)
    return ref, check(folder, ref, BaseModel(settings.base_model), settings.max_rank)


def folder_ref(folder: Path) -> VersionRef:
    """The adapter that a folder `<name>/<version>` is; AdapterRejected if it is not named so."""
    try:
        return VersionRef.parse(f"{folder.parent.name}@{folder.name}")
    except ValueError as error:
        raise AdapterRejected(f"{folder}: {error}; a folder is named <name>/<version>") from error
