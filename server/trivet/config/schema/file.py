"""The whole of `trivet.yaml`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from trivet.config.fields.kinds import Name, Section
from trivet.config.schema.adapters import AdapterEntry, AdaptersOnDemand, AdapterSource
from trivet.config.schema.backends import BackendSection
from trivet.config.schema.budgets import BudgetsSection
from trivet.config.schema.indexes import Documents, Qdrant, QuotasSection
from trivet.config.schema.interactions import InteractionsSection
from trivet.config.schema.rollouts import StateSection
from trivet.config.schema.routes import RouteSection, StreamSection
from trivet.config.schema.server import Admission, IndexPrice, Key, Machine, Price, Schemas, Server
from trivet.config.schema.tracing import TracingSection


class ConfigFile(Section):
    """The whole of `trivet.yaml`."""

    version: Literal[1] = 1
    server: Server = Server()
    admission: Admission = Admission()
    keys: list[Key] = []
    schemas: Schemas = Schemas()
    backends: Annotated[dict[Name, BackendSection], Field(min_length=1)]
    prompts: str = "prompts"
    adapters: list[AdapterEntry] = ["adapters"]
    adapter_source: AdapterSource = AdapterSource()
    adapters_on_demand: AdaptersOnDemand = AdaptersOnDemand()
    indexes: dict[Name, str] = {}
    documents: Documents = Documents()
    qdrant: Qdrant = Qdrant()
    quotas: QuotasSection = QuotasSection()
    budgets: BudgetsSection = BudgetsSection()
    tracing: TracingSection = TracingSection()
    interactions: InteractionsSection = InteractionsSection()
    state: StateSection = StateSection()
    prices: dict[Name, Price] = {}
    index_prices: dict[Name, IndexPrice] = {}
    machines: dict[Name, Machine] = {}
    stream: StreamSection = StreamSection()
    routes: Annotated[dict[Name, RouteSection], Field(min_length=1)]
