"""The service: listeners, keys, limits, prices."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from trivet.config.fields.kinds import Count, HostPort, Name, NotNegative, Positive, Section, Sha256
from trivet.config.schema.budgets import LimitSection

LISTENERS = ("listen", "admin_listen", "metrics_listen", "http_listen")


class Tls(Section):
    """Certificates (PEM files). With `client_ca`, clients must show one that it signed."""

    certificate: str
    key: str
    client_ca: str | None = None


class Keepalive(Section):
    """What the listeners demand of long connections; seconds."""

    min_ping_interval: Positive = 10.0
    ping_interval: Positive = 60.0
    ping_timeout: Positive = 20.0
    max_connection_age: Positive | None = None
    max_connection_age_grace: Positive = 30.0


class Receipts(Section):
    """The request log: how large and how old (seconds) a file of it gets, how much stays, and how much may wait."""

    file_bytes: Annotated[int, Field(ge=1 << 20)] = 64 << 20
    file_age: Positive = 86_400.0
    total_bytes: Annotated[int, Field(ge=1 << 20)] = 4 << 30
    queue_bytes: Annotated[int, Field(ge=1 << 20, le=1 << 30)] = 16 << 20


class Logs(Section):
    """Logs of engines and of the vector process: each is moved to `NAME.1` at `file_bytes`; `files` of them stay."""

    file_bytes: Annotated[int, Field(ge=1 << 16)] = 16 << 20
    files: Annotated[int, Field(ge=1, le=100)] = 3


class Server(Section):
    """Listeners and limits of the service."""

    listen: HostPort = "127.0.0.1:7600"
    admin_listen: HostPort = "127.0.0.1:7601"
    metrics_listen: HostPort = "127.0.0.1:7602"
    http_listen: HostPort | None = None
    processes: Annotated[int, Field(ge=1, le=64)] = 1
    data_dir: str = ".data"
    tls: Tls | None = None
    keepalive: Keepalive = Keepalive()
    max_message_bytes: Annotated[int, Field(ge=1024, le=1 << 30)] = 8 << 20
    max_unfinished_uploads: Count = 16
    upload_idle_timeout: Positive = 30.0
    passage_cache_bytes: Annotated[int, Field(ge=1 << 20)] = 1 << 30
    drain_timeout: Positive = 30.0
    slow_reader_timeout: Positive = 30.0
    receipts: Receipts = Receipts()
    logs: Logs = Logs()


class Admission(Section):
    """The bounded queue in front of the engine. More than this is refused at once."""

    max_running: Count = 32
    share_beside_others: Annotated[float, Field(gt=0, le=1)] = 0.5
    max_queued: Annotated[int, Field(ge=0)] = 64
    max_queued_tokens: Count = 65536


class Schemas(Section):
    """Bounds on the JSON schemas that answers are constrained by, of clients and variants alike."""

    max_bytes: Annotated[int, Field(ge=256, le=1 << 20)] = 65_536
    max_depth: Annotated[int, Field(ge=2, le=64)] = 32
    max_schemas: Annotated[int, Field(ge=1, le=100_000)] = 1_000
    max_values: Annotated[int, Field(ge=1, le=100_000)] = 1_000
    max_properties: Annotated[int, Field(ge=1, le=10_000)] = 500
    max_pattern_length: Annotated[int, Field(ge=1, le=10_000)] = 256
    compile_cpu_ms: Annotated[float, Field(ge=10, le=60_000)] = 500.0
    compile_memory_bytes: Annotated[int, Field(ge=64 << 20)] = 512 << 20
    step_cpu_ms: Annotated[float, Field(gt=0, le=1_000)] = 2.0
    max_waiting: Count = 16


class Key(Section):
    """One credential: the SHA-256 of the secret, whose it is, what it may do.

    A tester's may choose the variant. Without `routes` it may call all of them.
    """

    name: Name
    sha256: Sha256
    tenant: Name
    role: Literal["client", "operator"]
    tester: bool = False
    routes: Annotated[list[Name], Field(min_length=1)] | None = None
    limits: Annotated[list[LimitSection], Field(max_length=16)] = []


class Price(Section):
    """USD. Cached input tokens are priced on their own."""

    input_per_million_tokens: NotNegative
    cached_per_million_tokens: NotNegative
    output_per_million_tokens: NotNegative
    retrieval_per_thousand_searches: NotNegative = 0.0


class IndexPrice(Section):
    """USD, of texts that are given to the models of an index without a search; None: not known."""

    embedding_per_million_tokens: NotNegative | None = None
    reranking_per_million_tokens: NotNegative | None = None


class Machine(Section):
    """What the machine of a backend costs, whose time is shared out among its requests.

    `prompt_token_weight`: how much of it a prompt token takes that is computed, where an output token takes 1.
    `fit_weight`: it is the first one, and what the engine's steps tell comes after it.
    """

    usd_per_hour: Positive
    prompt_token_weight: Annotated[float, Field(ge=0.001, le=1)] = 0.1
    fit_weight: bool = False
