"""The adapter leg: where adapters come from, and what uses them."""

from __future__ import annotations

from pathlib import Path

from trivet.adapters.lifecycle.demand import AdapterDemand
from trivet.adapters.lifecycle.manager import AdapterManager
from trivet.adapters.lifecycle.settings import LifecycleSettings
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


def adapter_manager(
    config: Config,
    folder: DataFolder,
    backend: Backend,
    demand: AdapterDemand,
    desired: DesiredAdapterStore,
    metrics: Metrics,
) -> AdapterManager:
    """The manager of a backend's adapters; its loads are counted. `demand` is live. `close` it before the store."""
    section = config.file.backends[backend.name]
    settings = AdapterSettings(
        roots=config.adapter_roots,
        staging=folder.adapters,
        base_model=config.model_folder(backend.name),
        max_rank=section.max_lora_rank,
        max_bytes=config.file.adapter_source.max_bytes,
        fetch_seconds=config.file.adapter_source.timeout,
    )

    def on_load(outcome: str, seconds: float) -> None:
        metrics.adapter_loads.labels(outcome).inc()
        metrics.adapter_load.observe(seconds)

    lifecycle = LifecycleSettings(host_places=section.max_cpu_loras, max_loads=section.max_adapter_loads)
    return AdapterManager(AdapterStaging(settings), backend, demand, desired, lifecycle, on_load)


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
