"""What the listeners serve: pipelines, their intake and the servicers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from trivet.app.accounts.budgets import BudgetGauge, open_budgets
from trivet.app.accounts.receipts import open_receipts
from trivet.app.accounts.traces import Traces, open_traces
from trivet.app.doors.listeners import key_entries
from trivet.app.gateway.components import Components
from trivet.app.gateway.foundation import Foundation
from trivet.app.reload import Access, RouteReload
from trivet.app.reranking import open_reranking
from trivet.app.rollouts.gauges import RolloutGauges
from trivet.app.rollouts.shadow import shadow_traffic
from trivet.budgets.budgets import Budgets
from trivet.config import Config
from trivet.config.checks import schema_limits
from trivet.http import HttpServices
from trivet.http.chat import ChatCompletions
from trivet.http.contract import ContractCalls
from trivet.http.models import Models
from trivet.metering.feedback import FeedbackIntake
from trivet.metering.receipt_log import ReceiptLog
from trivet.metering.sink import Sink
from trivet.pipeline.admission import Admission
from trivet.pipeline.answer.answering import Answering
from trivet.pipeline.generation import GenerationPipeline
from trivet.pipeline.passages import BoundedRetriever
from trivet.pipeline.search import SearchPipeline
from trivet.pipeline.shadow.traffic import ShadowTraffic
from trivet.rpc.admin import AdminServicer
from trivet.rpc.auth import Authenticator
from trivet.rpc.inference import InferenceServicer
from trivet.rpc.intake import RequestIntake
from trivet.rpc.rollouts import RolloutWatches
from trivet.rpc.status import code_name_of
from trivet.rpc.uploads import UnfinishedUploads
from trivet.stores.data_folder import DataFolder
from trivet.stores.state import StateStore
from trivet.types.receipt import Receipt

MAX_SEARCHES = 16  # searches without a generation at once; they share the CPU with the queries of generations


@dataclass(frozen=True, slots=True)
class Services:
    """What stands behind the listeners, and what is changed while they serve."""

    inference: InferenceServicer
    admin: AdminServicer
    http: HttpServices
    reload: RouteReload
    shadow: ShadowTraffic


async def open_services(
    base: Foundation,
    read: Callable[[], Config],
    folder: DataFolder,
    state: StateStore,
    components: Components,
    watches: RolloutWatches,
) -> Services:
    """`read` gives the configuration as it is later on, to be reloaded."""
    config, stack, metrics = base.config, base.stack, base.metrics
    keys = Authenticator(key_entries(config))
    budgets = await stack.enter_async_context(open_budgets(config, state, metrics))
    base.registry.register(BudgetGauge(budgets.shares))
    reload = _reload(base, read, components, Access(keys, budgets))
    rollouts = components.rollouts
    rollouts.start()
    stack.push_async_callback(rollouts.close)
    base.registry.register(RolloutGauges(rollouts.operations.known, rollouts.operations.staleness))
    receipts = await stack.enter_async_context(open_receipts(config, folder, metrics))
    reranking = open_reranking(config, folder, components.indexes)
    retriever = BoundedRetriever(await stack.enter_async_context(reranking), metrics)
    traces = await stack.enter_async_context(open_traces(config))
    generation, shadow = _generation(base, components, retriever, receipts, budgets, traces)
    search = SearchPipeline(components.routes, retriever, _searches())
    feedback = FeedbackIntake(receipts, state, metrics, rollouts.rate)
    intake = RequestIntake(keys, generation.refuse, schema_limits(config.file.schemas), traces.begin)
    inference = InferenceServicer(
        generation=generation,
        search=search,
        receipts=receipts,
        feedback=feedback,
        intake=intake,
        slow_reader_timeout=config.file.server.slow_reader_timeout,
    )
    http = HttpServices(
        ChatCompletions(generation, intake),
        Models(components.routes, intake),
        ContractCalls(search, feedback, receipts, intake),
    )
    return Services(inference, _admin(base, components, keys, reload, watches), http, reload, shadow)


def _reload(base: Foundation, read: Callable[[], Config], components: Components, access: Access) -> RouteReload:
    reload = RouteReload(
        base.config,
        read,
        components.route_updater,
        components.prompts,
        base.prices,
        components.declarations,
        access=access,
    )
    base.stack.push_async_callback(reload.close)
    return reload


def _generation(
    base: Foundation,
    components: Components,
    retriever: BoundedRetriever,
    receipts: ReceiptLog,
    budgets: Budgets,
    traces: Traces,
) -> tuple[GenerationPipeline, ShadowTraffic]:
    backends, prompts = components.engines.backends, components.prompts.assemblers
    answering = Answering(
        adapters=components.adapters,
        retriever=retriever,
        prompts=prompts,
        backends=backends,
        slots=base.slots,
        ledger=components.ledger,
        enter=components.readiness.enter,
    )
    shadow = shadow_traffic(
        routes=components.routes,
        admission=base.admission,
        answering=answering,
        readiness=components.readiness,
        prices=base.prices,
        receipts=receipts,
        metrics=base.metrics,
        rollouts=components.rollouts,
    )
    base.stack.push_async_callback(shadow.close)

    def ended(receipt: Receipt) -> None:
        components.rollouts.record(receipt)
        traces.record(receipt)

    generation = GenerationPipeline(
        routes=components.routes,
        admission=base.admission,
        answering=answering,
        shadow=shadow,
        prompts=prompts,
        backends=backends,
        prices=base.prices,
        sink=Sink(base.metrics, receipts, lambda: components.routes.routes, ended),
        code_of=code_name_of,
        budgets=budgets,
    )
    return generation, shadow


def _admin(
    base: Foundation, components: Components, keys: Authenticator, reload: RouteReload, watches: RolloutWatches
) -> AdminServicer:
    server = base.config.file.server
    return AdminServicer(
        routes=components.routes,
        adapters=components.adapters,
        indexes=components.indexes,
        readiness=components.readiness,
        reload=reload.reload,
        keys=keys,
        uploads=UnfinishedUploads(server.max_unfinished_uploads, server.upload_idle_timeout),
        rollouts=components.rollouts.operations,
        watches=watches,
        slow_reader_timeout=server.slow_reader_timeout,
    )


def _searches() -> Admission:
    """Of searches without a generation."""
    return Admission(
        max_running=MAX_SEARCHES,
        max_queued=4 * MAX_SEARCHES,
        max_queued_tokens=1,
        beside_others=MAX_SEARCHES // 2,
    )
