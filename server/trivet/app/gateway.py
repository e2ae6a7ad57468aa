"""The whole server: names what stands behind each seam, starts the parts in order and stops them in reverse."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

from prometheus_client import REGISTRY, CollectorRegistry

from trivet import __version__
from trivet.adapters.lifecycle.demand import AdapterDemand
from trivet.adapters.lifecycle.manager import AdapterManager
from trivet.app.accounts.budgets import BudgetGauge, open_budgets
from trivet.app.accounts.receipts import open_receipts
from trivet.app.adapters.manager import adapter_manager
from trivet.app.adapters.slots import adapter_slots
from trivet.app.backend import adapter_backend
from trivet.app.doors.http import HttpDoor
from trivet.app.doors.listeners import check_addresses, key_entries, listener_settings
from trivet.app.engines import Engines
from trivet.app.health_follower import HealthFollower
from trivet.app.indexes import open_indexes
from trivet.app.models import fetch_models
from trivet.app.progress import Progress
from trivet.app.prompts import ServedPrompts
from trivet.app.reload import Access, RouteReload, prices_of
from trivet.app.reranking import open_reranking
from trivet.app.rollouts.declarations import Declarations
from trivet.app.rollouts.gauges import RolloutGauges, move_counter
from trivet.app.rollouts.served import ServedRoutes
from trivet.app.rollouts.serving import Rollouts
from trivet.app.rollouts.shadow import shadow_traffic
from trivet.app.runtime_info import RuntimeInfo
from trivet.app.state.opening import open_state
from trivet.app.supervision.log_rotation import LogRotation
from trivet.app.supervision.warmup import Warmup
from trivet.budgets.budgets import Budgets
from trivet.config import Config
from trivet.config.checks import schema_limits
from trivet.errors import BackendUnavailable, FailedPrecondition
from trivet.metering.adapter_gauge import AdapterGauge
from trivet.metering.exposition import MetricsListener
from trivet.metering.feedback import FeedbackIntake
from trivet.metering.loop_lag import LoopLag
from trivet.metering.metrics import Metrics
from trivet.metering.receipt_log import ReceiptLog
from trivet.metering.route_gauges import RouteGauges
from trivet.metering.sink import Sink
from trivet.metering.warmup_account import WarmupAccount
from trivet.pipeline.admission import Admission
from trivet.pipeline.answer.answering import Answering
from trivet.pipeline.generation import GenerationPipeline
from trivet.pipeline.passages import BoundedRetriever
from trivet.pipeline.prefix_ledger import PrefixCacheLedger
from trivet.pipeline.routes.readiness import Readiness
from trivet.pipeline.routes.route_update import RouteChange, RouteUpdater
from trivet.pipeline.routes.standby import Standby
from trivet.pipeline.search import SearchPipeline
from trivet.pipeline.shadow.traffic import ShadowTraffic
from trivet.pipeline.variables import uneven_variables
from trivet.retrieval.service import IndexService
from trivet.routing.required import required_adapters
from trivet.routing.table import RouteTable
from trivet.rpc.admin import AdminServicer
from trivet.rpc.auth import Authenticator
from trivet.rpc.inference import InferenceServicer
from trivet.rpc.intake import RequestIntake
from trivet.rpc.rollouts import RolloutWatches
from trivet.rpc.server import Health, Listener, StartingServicer
from trivet.rpc.status import code_name_of
from trivet.rpc.uploads import UnfinishedUploads
from trivet.stores.data_folder import DataFolder
from trivet.stores.state import StateStore
from trivet.types.passage import SearchQuery
from trivet.types.request import PUBLIC_TENANT

logger = logging.getLogger(__name__)

MAX_SEARCHES = 16  # searches without a generation at once; they share the CPU with the queries of generations
LAST_GRACE = 1.0  # seconds for streams that never end by themselves, such as a health watch


@dataclass(frozen=True, slots=True)
class _Components:
    """What a request is answered with, running."""

    engines: Engines
    indexes: IndexService
    adapters: AdapterManager
    prompts: ServedPrompts
    routes: RouteTable
    ledger: PrefixCacheLedger
    readiness: Readiness
    warmup: Warmup
    route_updater: RouteUpdater
    declarations: Declarations
    rollouts: Rollouts
    metrics_address: str


class Gateway:
    """One server process. `start` once, then `stop` once, from one event loop."""

    def __init__(self, config: Config, progress: Progress, read: Callable[[], Config]) -> None:
        """`read` gives the configuration as it is later on, to be reloaded."""
        self._config = config
        self._read = read
        self._reload: RouteReload | None = None
        self._shadow: ShadowTraffic | None = None
        self._progress = progress
        self._stack = AsyncExitStack()
        self._health = Health()
        self._registry = CollectorRegistry()
        self._metrics = Metrics(self._registry)
        self._prices = prices_of(config)
        self._warmup_account = WarmupAccount(self._metrics, self._prices)
        admission = config.file.admission
        self._admission = Admission(
            max_running=admission.max_running,
            max_queued=admission.max_queued,
            max_queued_tokens=admission.max_queued_tokens,
            beside_others=max(1, int(admission.max_running * admission.share_beside_others)),
        )
        self._metrics.in_flight.set_function(lambda: self._admission.in_flight)
        self._metrics.max_running.set(admission.max_running)
        self._slots = adapter_slots(config, self._metrics)
        self._follower = HealthFollower(self._health)
        self._inference, self._admin = StartingServicer(), StartingServicer()
        self._watches = RolloutWatches()
        self._http = HttpDoor(config, self._health)
        self._listeners: list[Listener | HttpDoor] = []

    async def start(self) -> None:
        """Return when requests are served. Raises what kept it from starting; `stop` is to be called all the same."""
        folder = DataFolder.open(self._config.data_dir)
        self._stack.callback(folder.close)
        check_addresses(self._config)
        settings = self._config.file.server.logs
        logs = LogRotation(folder.logs, settings.file_bytes, settings.files)
        logs.start()
        self._stack.push_async_callback(logs.close)
        state = await self._stack.enter_async_context(open_state(self._config, folder))
        runtime_info = RuntimeInfo(folder.root)
        self._stack.callback(runtime_info.withdraw)
        self._metrics.build.info({"version": __version__})
        addresses = await self._listen()
        await fetch_models(self._config, self._progress)
        prompts = ServedPrompts.of(self._config)
        for line in uneven_variables(self._config.routes, prompts.variables_of):
            self._progress.note(line)
        components = await self._start_components(folder, state, prompts, addresses["admin_listen"])
        inference, admin = await self._services(folder, state, components)
        addresses["metrics_listen"] = components.metrics_address
        self._inference.serve(inference)
        self._admin.serve(admin)
        await self._follower.start(components.warmup.can_serve)
        standby = Standby(components.routes, components.readiness)
        standby.start()
        self._stack.push_async_callback(standby.close)
        lag = LoopLag(self._metrics.loop_lag.observe)  # from now on: what holds up the start holds up nobody
        lag.start()
        self._stack.push_async_callback(lag.close)
        runtime_info.publish(addresses)
        self._progress.note(
            f"ready: clients {addresses['listen']}, operators {addresses['admin_listen']}, "
            f"metrics http://{addresses['metrics_listen']}/metrics"
            + (f", HTTP clients http://{addresses['http_listen']}/v1" if "http_listen" in addresses else "")
        )

    async def reload(self) -> RouteChange:
        """Read the configuration again and serve its routes; see `RouteReload.reload`."""
        if self._reload is None:
            raise FailedPrecondition("the server is starting: there is nothing to reload yet")
        return await self._reload.reload()

    async def stop(self) -> None:
        """Say NOT_SERVING, finish what is in flight, stop every part."""
        try:
            await self._follower.stop()
            self._watches.close()
            async with asyncio.timeout(self._config.file.server.drain_timeout):
                await self._admission.drain()
        except TimeoutError:
            logger.warning("stopped with %d requests in flight", self._admission.in_flight)
        finally:
            for listener in self._listeners:  # before what stands behind them
                await listener.stop(LAST_GRACE)
            await self._stack.aclose()

    async def _start_components(
        self, folder: DataFolder, state: StateStore, prompts: ServedPrompts, address: str
    ) -> _Components:
        engines = Engines(self._config, folder, self._metrics, self._warmup_account.started)
        with_adapters = adapter_backend(self._config)
        demand = AdapterDemand(required_adapters(self._config.routes))
        adapters = adapter_manager(
            self._config, folder, engines.backends[with_adapters], demand, state.desired_adapters, self._metrics
        )
        self._registry.register(AdapterGauge(asyncio.get_running_loop(), adapters.statuses))
        declarations = Declarations(state, adapters.source_digest)
        declared = await declarations.declare(self._config, prompts.digest)
        routes = RouteTable(declared.routes)
        ledger = PrefixCacheLedger()
        self._registry.register(RouteGauges(lambda: routes.routes))
        readiness = Readiness(
            engines.backends, self._slots, adapters, prompts.assemblers, ledger, self._warmup_account.primed
        )
        warmup = Warmup(routes, adapters, readiness, with_adapters)
        route_updater = RouteUpdater(routes, adapters, demand, readiness, self._flipped)
        self._stack.push_async_callback(engines.close)
        self._stack.push_async_callback(adapters.close)
        self._stack.push_async_callback(engines.end_supervision)
        self._stack.push_async_callback(route_updater.close)
        opened: list[IndexService] = []
        served = ServedRoutes(routes, route_updater, lambda: opened[0].snapshots() if opened else {})
        declarations.settle(declared)
        rollouts = Rollouts(self._config, folder, state, address, declarations, served, move_counter(self._metrics))
        await rollouts.follow()  # before the engines start, so that they are warmed for what will be served
        metrics_address = self._expose(engines, routes)  # a start that takes long, or hangs, is seen
        try:
            async with asyncio.TaskGroup() as group:
                starting = group.create_task(engines.start(warmup, self._progress, self._follower.changed))
                indexes = group.create_task(self._start_indexes(folder))
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None
        self._report(starting.result(), warmup)
        opened.append(indexes.result())
        return _Components(
            engines, opened[0], adapters, prompts, routes, ledger, readiness, warmup, route_updater, declarations,
            rollouts, metrics_address,
        )  # fmt: skip

    def _report(self, problems: Sequence[str], warmup: Warmup) -> None:
        """Serve what can be served, and say what cannot; BackendUnavailable if that is everything."""
        if not warmup.can_serve():
            raise BackendUnavailable("\n".join(["no variant can be served", *problems]))
        for problem in problems:
            self._progress.note(f"not ready, and tried again: {problem}")

    async def _start_indexes(self, folder: DataFolder) -> IndexService:
        stage = "vector engine and embedding model"
        self._progress.begin(stage)
        service = await self._stack.enter_async_context(open_indexes(self._config, folder, self._metrics))
        for name in self._config.indexes:  # the first search opens connections and fills caches
            await service.search(SearchQuery(name, "warm", PUBLIC_TENANT, top_k=1))
        held = [f"{status.name} {status.passages} passages" for status in await service.status()]
        self._progress.done(stage, ", ".join(held))
        return service

    async def _services(
        self, folder: DataFolder, state: StateStore, components: _Components
    ) -> tuple[InferenceServicer, AdminServicer]:
        """What the listeners serve."""
        keys = Authenticator(key_entries(self._config))
        budgets = await self._stack.enter_async_context(open_budgets(self._config, state, self._metrics))
        self._registry.register(BudgetGauge(budgets.shares))
        reload = self._reload = RouteReload(
            self._config,
            self._read,
            components.route_updater,
            components.prompts,
            self._prices,
            components.declarations,
            access=Access(keys, budgets),
        )
        self._stack.push_async_callback(reload.close)
        rollouts = components.rollouts
        rollouts.start()
        self._stack.push_async_callback(rollouts.close)
        self._registry.register(RolloutGauges(rollouts.operations.known, rollouts.operations.staleness))
        receipts = await self._stack.enter_async_context(open_receipts(self._config, folder, self._metrics))
        reranking = open_reranking(self._config, folder, components.indexes)
        retriever = BoundedRetriever(await self._stack.enter_async_context(reranking), self._metrics)
        generation = self._generation(components, retriever, receipts, budgets)
        search = SearchPipeline(components.routes, retriever, _searches())
        feedback = FeedbackIntake(receipts, state, self._metrics, rollouts.rate)
        intake = RequestIntake(keys, generation.refuse, schema_limits(self._config.file.schemas))
        self._http.serve(generation, search, feedback, receipts, components.routes, intake)
        inference = InferenceServicer(
            generation=generation,
            search=search,
            receipts=receipts,
            feedback=feedback,
            intake=intake,
            slow_reader_timeout=self._config.file.server.slow_reader_timeout,
        )
        return inference, self._admin_servicer(components, keys, reload)

    def _generation(
        self, components: _Components, retriever: BoundedRetriever, receipts: ReceiptLog, budgets: Budgets
    ) -> GenerationPipeline:
        backends, prompts = components.engines.backends, components.prompts.assemblers
        answering = Answering(
            adapters=components.adapters,
            retriever=retriever,
            prompts=prompts,
            backends=backends,
            slots=self._slots,
            ledger=components.ledger,
            enter=components.readiness.enter,
        )
        shadow = self._shadow = shadow_traffic(
            routes=components.routes,
            admission=self._admission,
            answering=answering,
            readiness=components.readiness,
            prices=self._prices,
            receipts=receipts,
            metrics=self._metrics,
            rollouts=components.rollouts,
        )
        self._stack.push_async_callback(shadow.close)
        return GenerationPipeline(
            routes=components.routes,
            admission=self._admission,
            answering=answering,
            shadow=shadow,
            prompts=prompts,
            backends=backends,
            prices=self._prices,
            sink=Sink(self._metrics, receipts, lambda: components.routes.routes, components.rollouts.record),
            code_of=code_name_of,
            budgets=budgets,
        )

    def _flipped(self) -> None:
        """Other routes are served."""
        self._follower.changed()
        if self._shadow is not None:
            self._shadow.review()

    def _admin_servicer(self, components: _Components, keys: Authenticator, reload: RouteReload) -> AdminServicer:
        server = self._config.file.server
        return AdminServicer(
            routes=components.routes,
            adapters=components.adapters,
            indexes=components.indexes,
            readiness=components.readiness,
            reload=reload.reload,
            keys=keys,
            uploads=UnfinishedUploads(server.max_unfinished_uploads, server.upload_idle_timeout),
            rollouts=components.rollouts.operations,
            watches=self._watches,
            slow_reader_timeout=server.slow_reader_timeout,
        )

    async def _listen(self) -> dict[str, str]:
        """Bind both gRPC listeners; where each serves, by its name in the configuration.

        This comes before the engines: from now on health tells that the process lives and is not ready, so that nobody
        kills it for starting, and calls are told to come back.
        """
        await self._health.set_ready(False)
        server, settings = self._config.file.server, listener_settings(self._config)
        clients, operators = Listener(settings, self._health), Listener(settings, self._health)
        clients.serve_inference(self._inference)
        operators.serve_admin(self._admin)
        addresses: dict[str, str] = {}
        for name, listener, listen in (
            ("admin_listen", operators, server.admin_listen),
            ("listen", clients, server.listen),
        ):
            addresses[name] = await listener.start(listen)
            self._listeners.append(listener)
        if (address := await self._http.start()) is not None:
            addresses["http_listen"] = address
            self._listeners.append(self._http)
        return addresses

    def _expose(self, engines: Engines, routes: RouteTable) -> str:
        """Bind the listener for metrics; where it serves."""
        listen = self._config.file.server.metrics_listen
        registries = [self._registry, REGISTRY, *engines.registries]
        metrics = MetricsListener(listen, registries, lambda: self._metrics.expect(routes.routes.values()))
        self._stack.callback(metrics.close)
        return metrics.address


def _searches() -> Admission:
    """Of searches without a generation."""
    return Admission(
        max_running=MAX_SEARCHES,
        max_queued=4 * MAX_SEARCHES,
        max_queued_tokens=1,
        beside_others=MAX_SEARCHES // 2,
    )
