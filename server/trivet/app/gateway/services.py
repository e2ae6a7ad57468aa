"""What the listeners serve: pipelines, their intake and the servicers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from trivet.app.accounts.budgets import BudgetGauge, open_budgets
from trivet.app.accounts.drift import Watching, open_drift
from trivet.app.accounts.interactions import Interactions, open_interactions
from trivet.app.accounts.receipts import open_receipts
from trivet.app.accounts.traces import Traces, open_traces
from trivet.app.doors.listeners import key_entries
from trivet.app.gateway.components import Components
from trivet.app.gateway.foundation import Foundation
from trivet.app.reload import Access, RouteReload
from trivet.app.reranking import open_rerankers
from trivet.app.rollouts.gauges import RolloutGauges
from trivet.app.rollouts.shadow import shadow_traffic
from trivet.budgets.budgets import Budgets
from trivet.config import Config
from trivet.config.checks import schema_limits
from trivet.fleet.administration import FleetOperations
from trivet.http import HttpServices
from trivet.http.anthropic import Messages
from trivet.http.chat import ChatCompletions
from trivet.http.completions import Completions
from trivet.http.contract import ContractCalls
from trivet.http.documents import DocumentCalls
from trivet.http.index_models import IndexModelCalls
from trivet.http.models import Models
from trivet.http.responses import Responses
from trivet.kserve import InferenceModels, Inferences
from trivet.metering.feedback import FeedbackIntake
from trivet.metering.receipt_log import ReceiptLog
from trivet.metering.sink import Sink
from trivet.pipeline.admission import Admission
from trivet.pipeline.answer.answering import Answering
from trivet.pipeline.generation import GenerationPipeline
from trivet.pipeline.passages import BoundedRetriever
from trivet.pipeline.routes.route_update import RouteChange
from trivet.pipeline.search import IndexModelPipeline, SearchPipeline
from trivet.pipeline.shadow.traffic import ShadowTraffic
from trivet.retrieval.explainer import RerankingExplainer
from trivet.retrieval.index_models import IndexModels
from trivet.retrieval.rerank.rerank import Reranker, RerankingRetriever
from trivet.rpc.admin import AdminServicer
from trivet.rpc.auth import Authenticator
from trivet.rpc.inference import InferenceServicer
from trivet.rpc.intake import RequestIntake
from trivet.rpc.rollouts import RolloutWatches
from trivet.rpc.status import code_name_of
from trivet.rpc.uploads import UnfinishedUploads
from trivet.stores.data_folder import DataFolder
from trivet.stores.state import StateStore
from trivet.types.answer import Answer
from trivet.types.receipt import Receipt
from trivet.types.request import GenerateCall

MAX_SEARCHES = 16  # searches without a generation at once; they share the CPU with the queries of generations


@dataclass(frozen=True, slots=True)
class Siblings:
    """The other processes of a server that has several: `receipts` are their request logs, and `reloaded` is told when
    an operator had this one reload."""

    receipts: Sequence[Path]
    reloaded: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Services:
    """What stands behind the listeners, and what is changed while they serve."""

    inference: InferenceServicer
    admin: AdminServicer
    http: HttpServices
    models: InferenceModels
    reload: RouteReload
    shadow: ShadowTraffic


async def open_services(
    base: Foundation,
    read: Callable[[], Config],
    folder: DataFolder,
    state: StateStore,
    components: Components,
    watches: RolloutWatches,
    siblings: Siblings | None = None,
) -> Services:
    """`read` gives the configuration as it is later on, to be reloaded."""
    config, stack = base.config, base.stack
    keys = Authenticator(key_entries(config))
    accounts = await _open_accounts(base, folder, state, components, siblings)
    reload = _reload(base, read, components, Access(keys, accounts.budgets))
    rollouts = components.rollouts
    rollouts.start()
    stack.push_async_callback(rollouts.close)
    base.registry.register(RolloutGauges(rollouts.operations.known, rollouts.operations.staleness))
    rerankers = await stack.enter_async_context(open_rerankers(config, folder))
    retriever = BoundedRetriever(RerankingRetriever(components.indexes, rerankers), base.metrics)
    generation, shadow = _generation(base, components, retriever, accounts)
    answers = _Answers(
        generation=generation,
        search=SearchPipeline(components.routes, retriever, _searches()),
        index_models=_index_models(base, components, rerankers, accounts),
        feedback=FeedbackIntake(accounts.receipts, state, base.metrics, rollouts.rate),
        receipts=accounts.receipts,
        intake=RequestIntake(keys, generation.refuse, schema_limits(config.file.schemas), accounts.traces.begin),
    )
    ask_to_reload = reload.reload if siblings is None else partial(_reload_all, reload, siblings.reloaded)
    return Services(
        inference=_inference(answers, config.file.server.slow_reader_timeout),
        admin=_admin(base, components, rerankers, keys, ask_to_reload, watches, accounts.interactions),
        http=_http(answers, components),
        models=_models(answers, components, config.file.server.slow_reader_timeout),
        reload=reload,
        shadow=shadow,
    )


@dataclass(frozen=True, slots=True)
class _Accounts:
    """Who is told of requests, and what may refuse them."""

    budgets: Budgets
    receipts: ReceiptLog
    traces: Traces
    interactions: Interactions
    watching: Watching


async def _open_accounts(
    base: Foundation, folder: DataFolder, state: StateStore, components: Components, siblings: Siblings | None
) -> _Accounts:
    config, stack, metrics, routes = base.config, base.stack, base.metrics, components.routes
    budgets = await stack.enter_async_context(open_budgets(config, state, metrics))
    base.registry.register(BudgetGauge(budgets.shares))
    beside = () if siblings is None else siblings.receipts
    machines = components.engines.machines
    return _Accounts(
        budgets=budgets,
        receipts=await stack.enter_async_context(open_receipts(config, folder, metrics, machines, beside)),
        traces=await stack.enter_async_context(open_traces(config)),
        interactions=await stack.enter_async_context(open_interactions(config, state, metrics, routes)),
        watching=await stack.enter_async_context(open_drift(folder, metrics, routes)),
    )


@dataclass(frozen=True, slots=True)
class _Answers:
    """What clients ask, whatever they speak."""

    generation: GenerationPipeline
    search: SearchPipeline
    index_models: IndexModelPipeline
    feedback: FeedbackIntake
    receipts: ReceiptLog
    intake: RequestIntake


def _inference(answers: _Answers, slow_reader_timeout: float) -> InferenceServicer:
    return InferenceServicer(
        generation=answers.generation,
        search=answers.search,
        receipts=answers.receipts,
        feedback=answers.feedback,
        intake=answers.intake,
        slow_reader_timeout=slow_reader_timeout,
    )


def _http(answers: _Answers, components: Components) -> HttpServices:
    generation, intake = answers.generation, answers.intake
    return HttpServices(
        chat=ChatCompletions(generation, intake),
        models=Models(components.routes, intake, components.on_demand.known),
        contract=ContractCalls(answers.search, answers.feedback, answers.receipts, intake),
        messages=Messages(generation, intake),
        responses=Responses(generation, intake),
        documents=DocumentCalls(components.indexes, components.routes, intake),
        completions=Completions(generation, intake),
        index_models=IndexModelCalls(answers.index_models, intake),
    )


def _models(answers: _Answers, components: Components, slow_reader_timeout: float) -> InferenceModels:
    inferences = Inferences(answers.generation, answers.intake, slow_reader_timeout)
    return InferenceModels(components.routes, components.readiness.is_ready, answers.intake, inferences)


def _index_models(
    base: Foundation, components: Components, rerankers: Mapping[str, Reranker], accounts: _Accounts
) -> IndexModelPipeline:
    return IndexModelPipeline(
        components.routes,
        IndexModels(components.indexes.indexes, rerankers),
        _searches(),
        base.metrics,
        code_name_of,
        accounts.receipts,
        base.prices.indexes,
        accounts.budgets,
    )


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


async def _reload_all(reload: RouteReload, reloaded: Callable[[], None]) -> RouteChange:
    change = await reload.reload()
    reloaded()
    return change


def _generation(
    base: Foundation,
    components: Components,
    retriever: BoundedRetriever,
    accounts: _Accounts,
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
        on_demand=components.on_demand,
        searched=accounts.watching.searched,
    )
    shadow = shadow_traffic(
        routes=components.routes,
        admission=base.admission,
        answering=answering,
        readiness=components.readiness,
        prices=base.prices.backends,
        receipts=accounts.receipts,
        metrics=base.metrics,
        rollouts=components.rollouts,
    )
    base.stack.push_async_callback(shadow.close)

    def ended(receipt: Receipt) -> None:
        components.rollouts.record(receipt)
        accounts.traces.record(receipt)

    def answered(call: GenerateCall, answer: Answer) -> None:
        accounts.interactions.recorder.offer(call, answer)
        accounts.watching.answered(call, answer)

    generation = GenerationPipeline(
        routes=components.routes,
        admission=base.admission,
        answering=answering,
        shadow=shadow,
        prompts=prompts,
        backends=backends,
        prices=base.prices.backends,
        sink=Sink(base.metrics, accounts.receipts, lambda: components.routes.routes, ended),
        code_of=code_name_of,
        budgets=accounts.budgets,
        answered=answered,
    )
    return generation, shadow


def _admin(
    base: Foundation,
    components: Components,
    rerankers: Mapping[str, Reranker],
    keys: Authenticator,
    reload: Callable[[], Awaitable[RouteChange]],
    watches: RolloutWatches,
    interactions: Interactions,
) -> AdminServicer:
    server = base.config.file.server
    return AdminServicer(
        routes=components.routes,
        adapters=components.adapters,
        indexes=components.indexes,
        searches=RerankingExplainer(components.indexes, rerankers),
        readiness=components.readiness,
        reload=reload,
        keys=keys,
        uploads=UnfinishedUploads(server.max_unfinished_uploads, server.upload_idle_timeout),
        rollouts=components.rollouts.operations,
        watches=watches,
        interactions=interactions.archive,
        slow_reader_timeout=server.slow_reader_timeout,
        fleets=FleetOperations(components.engines.fleets),
    )


def _searches() -> Admission:
    """Of searches without a generation, and of texts for the models of indexes."""
    return Admission(
        max_running=MAX_SEARCHES,
        max_queued=4 * MAX_SEARCHES,
        max_queued_tokens=1,
        beside_others=MAX_SEARCHES // 2,
    )
