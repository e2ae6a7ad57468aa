"""The whole of `engine.yaml`: one engine node."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from trivet.config.fields.kinds import Count, HostPort, Name, Positive, Section, Sha256
from trivet.config.schema.adapters import AdapterEntry, AdapterSource
from trivet.config.schema.backends import EmbeddedBackend
from trivet.config.schema.server import Keepalive, Logs, Machine, Schemas, Tls


class GatewayKey(Section):
    """A gateway's credential: the SHA-256 of the secret, and what it is called."""

    name: Name
    sha256: Sha256


class EngineFile(Section):
    """The whole of `engine.yaml`. `stop_notice`: seconds from telling gateways to bring nothing new to refusing it.

    `machine`: what its time costs, of which gateways are told with each answer. `engine`: None where the engine is that
    of a vLLM server, in which the node is a plugin.
    """

    version: Literal[1] = 1
    name: Name = "engine"
    listen: HostPort = "127.0.0.1:7610"
    metrics_listen: HostPort = "127.0.0.1:7612"
    data_dir: str = ".engine"
    tls: Tls | None = None
    keys: list[GatewayKey] = []
    engine: EmbeddedBackend | None = None
    adapters: list[AdapterEntry] = ["adapters"]
    adapter_source: AdapterSource = AdapterSource()
    schemas: Schemas = Schemas()
    machine: Machine | None = None
    keepalive: Keepalive = Keepalive()
    logs: Logs = Logs()
    max_requests: Count = 256
    max_message_bytes: Annotated[int, Field(ge=1024, le=1 << 30)] = 8 << 20
    slow_reader_timeout: Positive = 30.0
    stop_notice: Positive = 1.0
    drain_timeout: Positive = 30.0
