"""What a request is answered with: engines, indexes, adapters, routes, started in order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from prometheus_client import REGISTRY

from trivet.adapters.lifecycle.demand import AdapterDemand
from trivet.adapters.lifecycle.follower import DesiredFollower
from trivet.adapters.lifecycle.manager import AdapterManager
from trivet.adapters.on_demand.adapters import OnDemandAdapters
from trivet.app.adapters.manager import AdapterParts, adapter_parts
from trivet.app.backend import adapter_backend
from trivet.app.engines import Engines
from trivet.app.gateway.foundation import Foundation
from trivet.app.indexes import open_indexes
from trivet.app.progress import Progress
from trivet.app.prompts import ServedPrompts
from trivet.app.remote.fleets import fleet_fingerprints
from trivet.app.rollouts.declarations import Declarations
from trivet.app.rollouts.gauges import move_counter
from trivet.app.rollouts.served import ServedRoutes
from trivet.app.rollouts.serving import Rollouts
from trivet.app.supervision.warmup import Warmup
from trivet.errors import BackendUnavailable
from trivet.metering.adapter_gauge import AdapterGauge
from trivet.metering.exposition import MetricsListener
from trivet.metering.machine.counters import MachineCounters
from trivet.metering.route_gauges import RouteGauges
from trivet.pipeline.prefix_ledger import PrefixCacheLedger
from trivet.pipeline.routes.readiness import Readiness
from trivet.pipeline.routes.route_update import RouteUpdater
from trivet.retrieval.service import IndexService
from trivet.routing.required import required_adapters
from trivet.routing.table import RouteTable
from trivet.stores.data_folder import DataFolder
from trivet.stores.state import StateStore
from trivet.types.passage import SearchQuery
from trivet.types.request import PUBLIC_TENANT


@dataclass(frozen=True, slots=True)
class Components:
    """What a request is answered with, running."""

    engines: Engines
    indexes: IndexService
    adapters: AdapterManager
    on_demand: OnDemandAdapters
    prompts: ServedPrompts
    routes: RouteTable
    ledger: PrefixCacheLedger
    readiness: Readiness
    warmup: Warmup
    route_updater: RouteUpdater
    declarations: Declarations
    rollouts: Rollouts
    metrics_address: str


async def start_components(
    base: Foundation,
    folder: DataFolder,
    state: StateStore,
    prompts: ServedPrompts,
    address: str,
    changed: Callable[[], None],
    flipped: Callable[[], None],
) -> Components:
    """Start engines, indexes and rollouts. `address`: where operators reach this gateway. `changed` is called when what
    can be served may be different, `flipped` when other routes are served.

    Raises BackendUnavailable if no variant can be served, and what kept an index from opening.
    """
    demand = AdapterDemand(required_adapters(base.config.routes))
    engines, parts = await _engines(base, folder, state, demand)
    adapters = parts.manager
    declarations = Declarations(state, adapters.source_digest)
    declared = await declarations.declare(base.config, prompts.digest)
    routes = RouteTable(declared.routes)
    ledger = PrefixCacheLedger()
    base.registry.register(RouteGauges(lambda: routes.routes))
    readiness = Readiness(
        engines.backends, base.slots, adapters, prompts.assemblers, ledger, base.warmup_account.primed
    )
    follower = DesiredFollower(adapters)
    warmup = Warmup(routes, adapters, readiness, adapter_backend(base.config))
    route_updater = RouteUpdater(routes, adapters, demand, readiness, flipped)
    base.stack.push_async_callback(engines.close)
    base.stack.push_async_callback(parts.close)
    base.stack.push_async_callback(follower.close)
    base.stack.push_async_callback(engines.end_supervision)
    base.stack.push_async_callback(route_updater.close)
    opened: list[IndexService] = []
    served = ServedRoutes(routes, route_updater, lambda: opened[0].snapshots() if opened else {})
    declarations.settle(declared)
    rollouts = Rollouts(base.config, folder, state, address, declarations, served, move_counter(base.metrics))
    await rollouts.follow()  # before the engines start, so that they are warmed for what will be served
    metrics_address = _expose(base, engines, routes)  # a start that takes long, or hangs, is seen
    opened.append(await _start(base, folder, engines, warmup, changed))
    if base.config.file.state.url != "sqlite":
        follower.start()
    return Components(
        engines, opened[0], adapters, parts.on_demand, prompts, routes, ledger, readiness, warmup, route_updater,
        declarations, rollouts, metrics_address,
    )  # fmt: skip


async def _engines(
    base: Foundation, folder: DataFolder, state: StateStore, demand: AdapterDemand
) -> tuple[Engines, AdapterParts]:
    """Every engine, not yet started, and the adapters of the one that has them; their numbers are among the metrics."""
    config = base.config
    fingerprints = await asyncio.to_thread(fleet_fingerprints, config)
    engines = Engines(config, folder, base.metrics, base.warmup_account, fingerprints)
    backend = engines.backends[adapter_backend(config)]
    parts = await adapter_parts(config, folder, backend, demand, state.desired_adapters, base.metrics)
    loop = asyncio.get_running_loop()
    base.registry.register(AdapterGauge(loop, parts.manager.statuses, parts.manager.on_demand))
    base.registry.register(MachineCounters(loop, engines.machines))
    return engines, parts


async def _start(
    base: Foundation, folder: DataFolder, engines: Engines, warmup: Warmup, changed: Callable[[], None]
) -> IndexService:
    """Start the engines and the indexes at the same time; raises the first failure of either."""
    await engines.open_host(base.progress)
    try:
        async with asyncio.TaskGroup() as group:
            starting = group.create_task(engines.start(warmup, base.progress, changed))
            indexes = group.create_task(_start_indexes(base, folder))
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None
    _report(base.progress, starting.result(), warmup)
    return indexes.result()


def _expose(base: Foundation, engines: Engines, routes: RouteTable) -> str:
    """Bind the listener for metrics; where it serves."""
    listen = base.config.file.server.metrics_listen
    registries = [base.registry, REGISTRY, *engines.registries]
    metrics = MetricsListener(listen, registries, lambda: base.metrics.expect(routes.routes.values()))
    base.stack.callback(metrics.close)
    return metrics.address


def _report(progress: Progress, problems: Sequence[str], warmup: Warmup) -> None:
    """Serve what can be served, and say what cannot; BackendUnavailable if that is everything."""
    if not warmup.can_serve():
        raise BackendUnavailable("\n".join(["no variant can be served", *problems]))
    for problem in problems:
        progress.note(f"not ready, and tried again: {problem}")


async def _start_indexes(base: Foundation, folder: DataFolder) -> IndexService:
    stage = "vector engine and embedding model"
    base.progress.begin(stage)
    service = await base.stack.enter_async_context(open_indexes(base.config, folder, base.metrics))
    for name in base.config.indexes:  # the first search opens connections and fills caches
        await service.search(SearchQuery(name, "warm", PUBLIC_TENANT, top_k=1))
    held = [f"{status.name} {status.passages} passages" for status in await service.status()]
    base.progress.done(stage, ", ".join(held))
    return service
