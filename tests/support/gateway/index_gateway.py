"""A gateway in this process on a real listener, over a real vector process and the real embedding model; no engine."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from prometheus_client import CollectorRegistry

from trivet.app.indexes import open_indexes
from trivet.client import Target
from trivet.config import load_config
from trivet.metering.metrics import Metrics
from trivet.pipeline.admission import Admission
from trivet.pipeline.passages import BoundedRetriever
from trivet.pipeline.search import SearchPipeline
from trivet.retrieval.explainer import RerankingExplainer
from trivet.retrieval.service import IndexService
from trivet.routing.table import RouteTable
from trivet.rpc.admin import AdminServicer
from trivet.rpc.auth import Authenticator, KeyEntry
from trivet.rpc.inference import InferenceServicer
from trivet.rpc.intake import RequestIntake
from trivet.rpc.server import Health, Listener, ListenerSettings
from trivet.rpc.uploads import UnfinishedUploads
from trivet.stores.data_folder import DataFolder
from trivet.types.request import KeyRole

INDEX, ROUTE = "facts", "facts"
OPERATOR, CLIENT = "operator-secret", "client-secret"
TENANT = "acme"
_LIMITS = ListenerSettings(
    max_message_bytes=8 << 20,
    min_ping_interval=10,
    ping_interval=60,
    ping_timeout=20,
    max_connection_age=None,
    max_connection_age_grace=30,
)
_FILE = """
version: 1
backends:
  local: {kind: embedded, model: model}
indexes: {facts: facts}
routes:
  facts:
    retrieval: {deadline_ms: 5000}
    variants:
      only: {weight: 1, backend: local, prompt: p@1, retrieval: {index: facts, top_k: 3}}
"""


@dataclass
class IndexGateway:
    """Where it is, and the service behind it."""

    address: str
    service: IndexService

    def target(self, secret: str = OPERATOR) -> Target:
        """For clients."""
        return Target(self.address, self.address, secret)


@asynccontextmanager
async def index_gateway(
    folder: Path, embedding_cache: Path, *, index_file: str = "version: 1\n", more: str = ""
) -> AsyncIterator[IndexGateway]:
    """One empty index, `facts`, searched by the route of that name; keys of an operator and of a client of `acme`.

    `more`: of the configuration.
    """
    data = DataFolder.open(folder / "data")
    data.cache.mkdir(parents=True, exist_ok=True)
    (data.cache / "embedding").symlink_to(embedding_cache)  # an export takes half a minute
    config = load_config(_write_config(folder, index_file, more))
    keys = _keys(((OPERATOR, TENANT, KeyRole.OPERATOR), (CLIENT, TENANT, KeyRole.CLIENT)))
    table, metrics = RouteTable(config.routes), Metrics(CollectorRegistry())
    unused = cast(Any, None)  # what generates and what adapts: not called here
    async with open_indexes(config, data) as service:
        admission = Admission(max_running=8, max_queued=8, max_queued_tokens=1)
        search = SearchPipeline(table, BoundedRetriever(service, metrics), admission)
        listener = Listener(_LIMITS, Health())
        listener.serve_inference(
            InferenceServicer(
                generation=unused,
                search=search,
                receipts=unused,
                feedback=unused,
                intake=RequestIntake(keys, refuse=unused),
                slow_reader_timeout=5,
            )
        )
        listener.serve_admin(
            AdminServicer(
                routes=table,
                adapters=unused,
                indexes=service,
                searches=RerankingExplainer(service, {}),
                readiness=unused,
                reload=unused,
                keys=keys,
                uploads=UnfinishedUploads(16, 30),
                rollouts=unused,
                watches=unused,
                interactions=unused,
                slow_reader_timeout=5,
            )
        )
        address = await listener.start("127.0.0.1:0")
        try:
            yield IndexGateway(address, service)
        finally:
            await listener.stop(0)
    data.close()


def _write_config(folder: Path, index_file: str, more: str) -> Path:
    (folder / "model").mkdir()
    (folder / "model" / "config.json").write_text("{}")
    (folder / "prompts" / "p").mkdir(parents=True)
    (folder / "prompts" / "p" / "1.md").write_text("Be kind.")
    (folder / "adapters").mkdir()
    (folder / "facts" / "corpus").mkdir(parents=True)
    (folder / "facts" / "index.yaml").write_text(index_file)
    (folder / "trivet.yaml").write_text(_FILE + more)
    return folder / "trivet.yaml"


def _keys(keys: Sequence[tuple[str, str, KeyRole]]) -> Authenticator:
    return Authenticator(
        [KeyEntry(hashlib.sha256(secret.encode()).hexdigest(), tenant, role) for secret, tenant, role in keys]
    )
