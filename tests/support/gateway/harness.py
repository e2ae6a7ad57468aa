"""A gateway in this process on a real listener, over a scripted engine and a scripted retriever."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, get_args

import grpc
from google.rpc import error_details_pb2, status_pb2
from prometheus_client import CollectorRegistry

from tests.support.engine.chat_families import make_family
from tests.support.gateway.index_models import ScriptedIndexModels
from tests.support.retrieval.memory_indexes import MemoryIndexes
from trivet.adapters.lifecycle.demand import AdapterDemand
from trivet.adapters.lifecycle.manager import AdapterManager
from trivet.adapters.lifecycle.slots import AdapterSlots
from trivet.adapters.on_demand.adapters import OnDemandAdapters
from trivet.adapters.settings import AdapterSettings
from trivet.adapters.staging.staging import AdapterStaging
from trivet.api.v1 import inference_pb2, inference_pb2_grpc, receipt_pb2
from trivet.budgets.budgets import Budgets
from trivet.config.schema.routes import Allowed
from trivet.http import Door, ExchangeLimits, HttpListener, HttpServices, HttpSettings, application
from trivet.http.anthropic import Messages
from trivet.http.chat import ChatCompletions
from trivet.http.completions import Completions
from trivet.http.contract import ContractCalls
from trivet.http.documents import DocumentCalls
from trivet.http.index_models import IndexModelCalls
from trivet.http.models import Models
from trivet.http.responses import Responses
from trivet.kserve import SERVICE, InferenceModels, Inferences, OpenInferenceServicer, add_to_server
from trivet.metering.feedback import FeedbackIntake
from trivet.metering.metrics import Metrics
from trivet.metering.prices import IndexPrice, Price
from trivet.metering.receipt_log import ReceiptLog
from trivet.metering.shadow_sink import ShadowSink
from trivet.metering.sink import Sink
from trivet.pipeline.admission import Admission
from trivet.pipeline.answer.answering import Answering
from trivet.pipeline.generation import GenerationPipeline
from trivet.pipeline.passages import BoundedRetriever
from trivet.pipeline.prefix_ledger import PrefixCacheLedger
from trivet.pipeline.search import IndexModelPipeline, SearchPipeline
from trivet.pipeline.shadow.traffic import ShadowTraffic
from trivet.ports import Backend, IndexAdministration, Retriever
from trivet.prompts.assembly.assembler import PromptAssembler
from trivet.prompts.template.source import PromptSource, Turn
from trivet.prompts.tokenizer.chat_tokenizer import ChatTokenizer
from trivet.routing.table import RouteTable
from trivet.rpc.auth import Authenticator, KeyEntry
from trivet.rpc.inference import InferenceServicer
from trivet.rpc.intake import BeginTrace, RequestIntake
from trivet.rpc.server import Health, Listener, ListenerSettings, TlsFiles
from trivet.rpc.status import code_name_of
from trivet.stores.state import StateStore
from trivet.testing import ScriptedBackend, ScriptedRetriever
from trivet.types.budget import LimitSet
from trivet.types.passage import Passage
from trivet.types.receipt import Receipt
from trivet.types.request import KeyRole
from trivet.types.variant import (
    CacheScope,
    OnRetrievalFailure,
    RetrievalSettings,
    Route,
    Sampling,
    Variant,
    VersionRef,
)

PASSAGES = (
    Passage("doc-a#0", "doc-a", "A", "The lamp weighs 12 grams.", 0.9, 3),
    Passage("doc-b#0", "doc-b", "B", "The hub weighs 40 grams.", 0.5, 1),
)
PROMPT = VersionRef("answers", "1")
RAW = VersionRef("raw", "1")
INDEX_PRICE = IndexPrice(embedding_per_million_tokens=0.5)
QUANTUM = 0.1  # seconds
NO_LIMITS = LimitSet()
LIMITS = ListenerSettings(
    max_message_bytes=1 << 20,
    min_ping_interval=10,
    ping_interval=60,
    ping_timeout=20,
    max_connection_age=None,
    max_connection_age_grace=30,
)


def variant(name: str, *, index: str | None = None, **fields: Any) -> Variant:
    """A variant on the scripted backend."""
    retrieval = None if index is None else RetrievalSettings(index, top_k=2)
    return Variant(name, "scripted", PROMPT, retrieval=retrieval, sampling=Sampling(max_tokens=1024), **fields)


def routes() -> dict[str, Route]:
    """plain, rag (degrades), strict (fails), patient (waits), private (a cache per tenant), short (at most 0.3 s), open
    (allows all that can be), raw (continues texts, and allows all), other
    (searches another index)."""
    plain, rag = {"plain": variant("plain")}, {"rag": variant("rag", index="facts")}
    made = [
        Route("plain", plain, {"plain": 1}, "plain"),
        Route("rag", rag, {"rag": 1}, "rag", retrieval_deadline=0.2),
        Route("strict", rag, {"rag": 1}, "s", retrieval_deadline=0.2, on_retrieval_failure=OnRetrievalFailure.FAIL),
        Route("patient", rag, {"rag": 1}, "patient", retrieval_deadline=30),
        Route("private", plain, {"plain": 1}, "private", cache=CacheScope.TENANT),
        Route("short", plain, {"plain": 1}, "short", max_duration=0.3),
        Route(
            "raw", {"raw": replace(variant("raw"), prompt=RAW)}, {"raw": 1}, "raw", allow=frozenset(get_args(Allowed))
        ),
        Route("other", {"other": variant("other", index="others")}, {"other": 1}, "other"),
        Route("open", rag, {"rag": 1}, "open", retrieval_deadline=0.2, allow=frozenset(get_args(Allowed))),
    ]
    return {route.name: route for route in made}


@dataclass
class Failure:
    """An error status, taken apart."""

    code: str
    message: str
    reason: str = ""
    fields: dict[str, str] = field(default_factory=dict)
    retry_after: float | None = None
    receipt: receipt_pb2.Receipt | None = None
    trailers: dict[str, Any] = field(default_factory=dict)
    initial: dict[str, Any] = field(default_factory=dict)


def failure(error: grpc.aio.AioRpcError) -> Failure:
    """What a client can read out of an error."""
    found = Failure(error.code().name, error.details() or "", trailers=dict(error.trailing_metadata()))
    found.initial = dict(error.initial_metadata() or ())
    infos = 0
    for detail in status_pb2.Status.FromString(found.trailers["grpc-status-details-bin"]).details:
        info, bad, retry = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest(), error_details_pb2.RetryInfo()
        receipt = receipt_pb2.Receipt()
        if detail.Unpack(info):
            found.reason, infos = info.reason, infos + 1
        elif detail.Unpack(bad):
            found.fields = {item.field: item.description for item in bad.field_violations}
        elif detail.Unpack(retry):
            found.retry_after = retry.retry_delay.ToTimedelta().total_seconds()
        elif detail.Unpack(receipt):
            found.receipt = receipt
    assert infos == 1
    return found


@dataclass
class Gateway:
    """The parts that tests look at."""

    generation: GenerationPipeline
    backend: ScriptedBackend
    retriever: ScriptedRetriever
    registry: CollectorRegistry
    admission: Admission
    slots: AdapterSlots
    receipts: ReceiptLog
    health: Health
    folder: Path
    address: str
    stub: inference_pb2_grpc.InferenceStub
    state: StateStore
    rated: list[tuple[str, float | None]]
    """What rollouts are told of feedback: request id and score."""
    table: RouteTable
    shadow: ShadowTraffic
    counted: list[Receipt]
    """The receipts that rollouts are told of, in the order in which requests and copies ended."""
    http: str = ""
    """The HTTP door's address, if there is one."""
    index_models: ScriptedIndexModels = field(default_factory=ScriptedIndexModels)

    def metric(self, name: str, **labels: str) -> float:
        """One sample of ours; 0 if it is not there."""
        return self.registry.get_sample_value(f"trivet_{name}", labels) or 0.0


def _sha256(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


@asynccontextmanager
async def gateway(
    folder: Path,
    *,
    keys: Sequence[tuple[str, str, KeyRole]] = (),
    testers: Sequence[str] = (),
    max_running: int = 4,
    max_queued: int = 4,
    slow_reader_timeout: float = 0.5,
    tls: TlsFiles | None = None,
    searched: Retriever | None = None,
    more_routes: Sequence[Route] = (),
    backend: ScriptedBackend | None = None,
    adapters: AdapterManager | None = None,
    on_demand: OnDemandAdapters | None = None,
    max_message_bytes: int = LIMITS.max_message_bytes,
    more_prompts: Sequence[PromptSource] = (),
    more_backends: Sequence[ScriptedBackend] = (),
    limits: LimitSet = NO_LIMITS,
    key_routes: Sequence[str] | None = None,
    http: bool = False,
    begin_trace: BeginTrace = lambda _: None,
    on_receipt: Callable[[Receipt], None] = lambda _: None,
    indexes: IndexAdministration | None = None,
) -> AsyncIterator[Gateway]:
    """Serve on a free port. `keys`: (secret, tenant, role). `testers`: secrets of the first key's tenant.
    `searched` instead of the scripted retriever. `limits` of tenants and of keys, whose names are their secrets;
    `key_routes`: what all keys may call.

    `backend` instead of one that says its words at once, `more_backends` beside it. `adapters` holds what `more_routes`
    ask for, in two slots.
    """
    backend, retriever = backend or ScriptedBackend(), ScriptedRetriever(PASSAGES)
    registry = CollectorRegistry()
    metrics, table = Metrics(registry), RouteTable({**routes(), **{route.name: route for route in more_routes}})
    receipts = ReceiptLog(folder / "receipts.jsonl")
    state = StateStore.open(folder / "state.sqlite")
    rated: list[tuple[str, float | None]] = []
    counted: list[Receipt] = []

    documents = indexes or MemoryIndexes()

    def ended(receipt: Receipt) -> None:
        counted.append(receipt)
        on_receipt(receipt)

    budgets = Budgets(state, limits)
    budgets.start()
    family = make_family("chatml", folder / "tokenizer")
    source = PromptSource(
        PROMPT, folder / "1.md", (Turn("system", ("Answer from the passages, briefly, always. " * 4,)),)
    )
    raw = PromptSource(RAW, folder / "2.md", (), raw=True)
    admission = Admission(max_running=max_running, max_queued=max_queued, max_queued_tokens=10_000)
    slots = AdapterSlots(slots=2, quantum=QUANTUM, on_wait=metrics.adapter_wait.labels("scripted").observe)
    bounded = BoundedRetriever(searched or retriever, metrics)
    backends: dict[str, Backend] = {one.name: one for one in (backend, *more_backends)}
    prompts = {
        (name, one.ref): PromptAssembler(one, ChatTokenizer.load(family.folder))
        for one in (source, *more_prompts)
        for name in backends
    }
    prompts |= {(name, RAW): PromptAssembler(raw, ChatTokenizer.load_raw(family.folder)) for name in backends}
    answering = Answering(
        adapters=adapters or no_adapters(backend, folder, state),
        retriever=bounded,
        prompts=prompts,
        backends=backends,
        slots=dict.fromkeys(backends, slots),
        ledger=PrefixCacheLedger(),
        enter=lambda route, variant: False,
        on_demand=on_demand,
    )
    prices = dict.fromkeys(backends, Price(1.0, 0.1, 2.0))
    shadow = ShadowTraffic(
        routes=table,
        admission=admission,
        answering=answering,
        is_ready=lambda route, variant: True,
        prices=prices,
        sink=ShadowSink(metrics, receipts, counted.append),
        code_of=code_name_of,
        count=lambda route, outcome: metrics.shadow.labels(route, outcome).inc(),
    )
    generation = GenerationPipeline(
        routes=table,
        admission=admission,
        answering=answering,
        shadow=shadow,
        prompts=prompts,
        backends=backends,
        prices=prices,
        sink=Sink(metrics, receipts, lambda: table.routes, ended),
        code_of=code_name_of,
        budgets=budgets,
    )
    allowed = None if key_routes is None else frozenset(key_routes)
    entries = [KeyEntry(_sha256(secret), tenant, role, secret, routes=allowed) for secret, tenant, role in keys]
    entries += [KeyEntry(_sha256(secret), keys[0][1], KeyRole.CLIENT, tester=True) for secret in testers]
    intake = RequestIntake(Authenticator(entries), generation.refuse, begin_trace=begin_trace)
    searches = Admission(max_running=4, max_queued=4, max_queued_tokens=1)
    search = SearchPipeline(table, bounded, searches)
    index_models = ScriptedIndexModels("facts", "others", "unrouted", reranking=["facts"])
    embedding = IndexModelPipeline(
        table, index_models, searches, metrics, code_name_of, receipts, {"facts": INDEX_PRICE}, budgets
    )
    feedback = FeedbackIntake(
        receipts, state, metrics, lambda receipt, score: rated.append((receipt.request_id, score))
    )
    servicer = InferenceServicer(
        generation=generation,
        search=search,
        receipts=receipts,
        feedback=feedback,
        intake=intake,
        slow_reader_timeout=slow_reader_timeout,
    )
    health = Health()
    await health.set_ready(True)
    settings = replace(LIMITS, tls=tls, max_message_bytes=max_message_bytes)
    listener = Listener(settings, health)
    listener.serve_inference(servicer)
    models = OpenInferenceServicer(lambda: health.ready)
    inferences = Inferences(generation, intake, slow_reader_timeout)
    models.serve(InferenceModels(table, lambda route, variant: backend.ready, intake, inferences))
    listener.serve(add_to_server, models, SERVICE)
    address = await listener.start("127.0.0.1:0")
    channel = _channel(address, tls)
    door = Door(lambda: True)
    services = HttpServices(
        ChatCompletions(generation, intake),
        Models(table, intake) if on_demand is None else Models(table, intake, on_demand.known),
        ContractCalls(search, feedback, receipts, intake),
        Messages(generation, intake),
        Responses(generation, intake),
        DocumentCalls(documents, table, intake),
        Completions(generation, intake),
        IndexModelCalls(embedding, intake),
    )
    door.serve(services)
    http_limits = ExchangeLimits(max_message_bytes, 1.0, slow_reader_timeout)
    second = HttpListener(application(door, http_limits), HttpSettings(tls=tls))
    http_address = await second.start("127.0.0.1:0") if http else ""
    try:
        stub, parts = inference_pb2_grpc.InferenceStub(channel), (generation, backend, retriever, registry, admission)
        parts_of_rollouts = (state, rated, table, shadow, counted)
        found = Gateway(
            *parts, slots, receipts, health, folder, address, stub, *parts_of_rollouts, http_address, index_models
        )
        yield found
    finally:
        await channel.close()
        await listener.stop(0)
        await second.stop(0)
        await shadow.close()
        await budgets.close()
        state.close()
        receipts.close()


def no_adapters(backend: ScriptedBackend, folder: Path, state: StateStore) -> AdapterManager:
    """A manager that manages none."""
    settings = AdapterSettings((folder / "adapters",), folder / "staged", folder, max_rank=16)
    return AdapterManager(AdapterStaging(settings), backend, AdapterDemand(), state.desired_adapters)


# A small, fixed flow-control window: without it gRPC's core reads megabytes ahead of a client that does not.
SMALL_WINDOW = [("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 16_384)]


def _channel(address: str, tls: TlsFiles | None) -> grpc.aio.Channel:
    if tls is None:
        return grpc.aio.insecure_channel(address, options=SMALL_WINDOW)
    return grpc.aio.secure_channel(address, grpc.ssl_channel_credentials(tls.certificate.read_bytes()))


def request(route: str = "plain", text: str = "hello", **fields: Any) -> inference_pb2.GenerateRequest:
    """One user message."""
    return inference_pb2.GenerateRequest(
        route=route, messages=[inference_pb2.Message(role="user", content=text)], **fields
    )
