"""The shape of `trivet.yaml`. Every field is checked, an unknown one is refused."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Discriminator, Field, StringConstraints, Tag

from trivet.types.encodings import codec_of
from trivet.types.names import NAME
from trivet.types.path_pattern import PathPattern

Name = Annotated[str, StringConstraints(pattern=f"^{NAME}$")]
Ref = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}@[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
HostPort = Annotated[str, StringConstraints(pattern=r"^(\[[0-9a-fA-F:]+\]|[^:\s\[\]]+):[0-9]{1,5}$")]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
Text = Annotated[str, StringConstraints(pattern=r"\S")]


def _pattern(text: str) -> str:
    PathPattern.parse(text)
    return text


def _encoding(label: str) -> str:
    if codec_of(label) is None:
        raise ValueError("no encoding of text that files are read in; expected one such as windows-1252")
    return label


Encoding = Annotated[str, AfterValidator(_encoding)]
Pattern = Annotated[str, AfterValidator(_pattern)]  # of paths, as in trivet.types.path_pattern


class Section(BaseModel):
    """A part of the file: nothing unknown, nothing converted silently, nothing changed later."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


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


class Server(Section):
    """Listeners and limits of the service."""

    listen: HostPort = "127.0.0.1:7600"
    admin_listen: HostPort = "127.0.0.1:7601"
    metrics_listen: HostPort = "127.0.0.1:7602"
    data_dir: str = ".data"
    tls: Tls | None = None
    keepalive: Keepalive = Keepalive()
    max_message_bytes: Annotated[int, Field(ge=1024, le=1 << 30)] = 8 << 20
    max_unfinished_uploads: Count = 16
    upload_idle_timeout: Positive = 30.0
    passage_cache_bytes: Annotated[int, Field(ge=1 << 20)] = 1 << 30
    drain_timeout: Positive = 30.0
    slow_reader_timeout: Positive = 30.0


class Admission(Section):
    """The bounded queue in front of the engine. More than this is refused at once."""

    max_running: Count = 32
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
    """One credential: the SHA-256 of the secret, whose it is, what it may do."""

    name: Name
    sha256: Sha256
    tenant: Name
    role: Literal["client", "operator"]


class Restart(Section):
    """How a dead engine is started again; seconds."""

    first_delay: Positive = 0.5
    max_delay: Positive = 30.0
    settled_after: Positive = 60.0


class EmbeddedBackend(Section):
    """vLLM in this process. Names are vLLM's own where it has one."""

    kind: Literal["embedded"]
    model: str
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    block_size: Annotated[int, Field(ge=1)] | None = None
    max_model_len: Annotated[int, Field(ge=64)] | None = None
    max_num_seqs: Count = 32
    kv_cache_memory_bytes: Annotated[int, Field(ge=1 << 20)] | None = None
    gpu_memory_utilization: Annotated[float, Field(gt=0, le=1)] | None = None
    enable_lora: bool = True
    max_loras: Count = 2
    max_cpu_loras: Count = 16
    max_adapter_loads: Count = 2
    max_lora_rank: Literal[1, 8, 16, 32, 64, 128, 256, 320, 512] = 16
    adapter_quantum_ms: NotNegative = 500.0
    start_timeout: Positive = 900.0
    hang_timeout: Positive = 120.0
    restart: Restart = Restart()


class HubAdapterSection(Section):
    """One adapter in a repository of a model hub, and what it is called here."""

    name: Name
    version: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")]
    source: Annotated[
        str,
        Field(
            alias="from", max_length=300, pattern=r"^hub:[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*(@[A-Za-z0-9][\w./-]*)?$"
        ),
    ]


def _entry_kind(value: Any) -> str | None:
    if isinstance(value, str):
        return "place"
    return "hub" if isinstance(value, dict | HubAdapterSection) else None


AdapterEntry = Annotated[
    Annotated[Text, Tag("place")] | Annotated[HubAdapterSection, Tag("hub")],
    Discriminator(
        _entry_kind,
        custom_error_type="adapter_entry",
        custom_error_message="Expected a place, or a mapping with name, version and from",
    ),
]


class AdapterSource(Section):
    """How adapters come from S3 and from a hub, and their limits; `timeout` in seconds."""

    endpoint_url: Annotated[str, StringConstraints(pattern=r"^https?://[^/\s?#@]+(/[^\s?#]*)?$")] | None = None
    region: Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]+$")] | None = None
    hub_endpoint: Annotated[str, StringConstraints(pattern=r"^https?://[^/\s?#@]+(/[^\s?#]*)?$")] | None = None
    max_bytes: Count = 2 << 30
    timeout: Positive = 600.0


class Qdrant(Section):
    """Where passages live. Without `url`, an embedded engine in the data folder."""

    url: Annotated[str, StringConstraints(pattern=r"^https?://[^/\s]+$")] | None = None
    grpc_port: Annotated[int, Field(ge=1, le=65535)] = 6334
    api_key_file: str | None = None
    replicas: Annotated[int, Field(ge=1, le=16)] = 1
    shards: Annotated[int, Field(ge=1, le=1024)] | None = None
    write_consistency: Annotated[int, Field(ge=1, le=16)] = 1
    quantization: Literal["none", "int8"] = "none"


class QuotaSection(Section):
    """How much a tenant may have in all indexes together; None for no bound."""

    max_documents: Annotated[int, Field(ge=0)] | None = None
    max_bytes: Annotated[int, Field(ge=0)] | None = None


class QuotasSection(QuotaSection):
    """Each tenant's, and whole ones of their own for some."""

    tenants: dict[Name, QuotaSection] = {}


class Documents(Section):
    """The processes that read documents and cut them into passages, and what one document may take."""

    processes: Annotated[int, Field(ge=1, le=64)] = 1
    max_queued: Annotated[int, Field(ge=0)] = 64
    max_seconds: Annotated[int, Field(ge=1, le=3600)] = 20
    max_memory_bytes: Annotated[int, Field(ge=256 << 20)] = 1 << 30
    max_pages: Count = 2_000
    max_characters: Count = 4 << 20
    max_passages: Count = 20_000


class Price(Section):
    """USD. Cached input tokens are priced on their own."""

    input_per_million_tokens: NotNegative
    cached_per_million_tokens: NotNegative
    output_per_million_tokens: NotNegative
    retrieval_per_thousand_searches: NotNegative = 0.0


class VariantSampling(Section):
    """How tokens are drawn unless the request says otherwise."""

    max_tokens: Count = 256
    temperature: Annotated[float, Field(ge=0, le=2)] = 0.0
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    seed: int | None = None
    stop: list[str] = []


class Confidence(Section):
    """Below this retrieval confidence the route answers with this text instead of asking the model."""

    below: Annotated[float, Field(ge=-1, le=1, allow_inf_nan=False)]
    answer: Text


class FewShot(Section):
    """The examples of an index that are nearest to the question, put before the conversation."""

    index: Name
    k: Annotated[int, Field(ge=1, le=8)] = 3
    token_budget: Count = 512


class VariantRetrieval(Section):
    """How the variant searches."""

    index: Name
    top_k: Annotated[int, Field(ge=1, le=100)] = 3
    min_score: NotNegative = 0.0
    token_budget: Count = 1024
    tags: Annotated[list[Text], Field(max_length=8)] = []
    max_per_document: Count | None = None
    duplicates: Literal["collapse", "keep"] = "collapse"
    rerank: bool = False
    confidence: Confidence | None = None
    few_shot: FewShot | None = None


class VariantSection(Section):
    """One bundle that can answer the route."""

    weight: NotNegative
    backend: Name
    prompt: Ref
    adapter: Ref | None = None
    retrieval: VariantRetrieval | None = None
    sampling: VariantSampling = VariantSampling()
    json_schema: dict[str, Any] | None = None


class RouteRetrieval(Section):
    """How long a route waits for passages, and what then."""

    deadline_ms: Positive = 150.0
    on_failure: Literal["degrade", "fail"] = "degrade"


class RouteSection(Section):
    """A name that clients call."""

    variants: Annotated[dict[Name, VariantSection], Field(min_length=1)]
    salt: str | None = None
    cache: Literal["shared", "tenant"] | None = None
    retrieval: RouteRetrieval = RouteRetrieval()
    max_duration: Positive = 120.0


class ConfigFile(Section):
    """The whole of `trivet.yaml`."""

    version: Literal[1]
    server: Server = Server()
    admission: Admission = Admission()
    keys: list[Key] = []
    schemas: Schemas = Schemas()
    backends: Annotated[dict[Name, EmbeddedBackend], Field(min_length=1)]
    prompts: str = "prompts"
    adapters: list[AdapterEntry] = ["adapters"]
    adapter_source: AdapterSource = AdapterSource()
    indexes: dict[Name, str] = {}
    documents: Documents = Documents()
    qdrant: Qdrant = Qdrant()
    quotas: QuotasSection = QuotasSection()
    prices: dict[Name, Price] = {}
    routes: Annotated[dict[Name, RouteSection], Field(min_length=1)]


class Chunking(Section):
    """How documents are cut; tokens of the embedding model. With `pack`, neighbouring paragraphs share a passage."""

    max_tokens: Annotated[int, Field(ge=16, le=8192)] = 180
    pack: bool = True


class Embedding(Section):
    """Which model, by path or as `hub:organisation/name[@revision]`; the default is installed with Trivet."""

    model: Annotated[str, Field(pattern=r"^(hub:[\w.-]+(/[\w.-]+)?(@[\w./-]+)?|[^:]+)$")] | None = None
    precision: Literal["float32", "int8"] = "int8"


class Rerank(Section):
    """A cross-encoder that orders the best `candidates` of a search anew, for routes that ask for it."""

    model: str
    candidates: Annotated[int, Field(ge=2, le=100)] = 20
    precision: Literal["float32", "int8"] = "int8"


class IndexFile(Section):
    """`indexes/<name>/index.yaml`."""

    version: Literal[1]
    corpus: str = "corpus"
    chunking: Chunking = Chunking()
    embedding: Embedding = Embedding()
    language: Name = "english"
    candidates: Annotated[int, Field(ge=1, le=1000)] = 50
    rrf_k: Annotated[int, Field(ge=1, le=1000)] = 2
    rerank: Rerank | None = None
    retain: Annotated[int, Field(ge=0, le=10)] = 1
    rebuild_after: Annotated[int, Field(ge=0)] = 25_000
    include: Annotated[list[Pattern], Field(max_length=100)] = []
    ignore: Annotated[list[Pattern], Field(max_length=100)] = []
    follow_links: bool = False
    encoding: Encoding | None = None
    max_files: Annotated[int, Field(ge=1, le=10_000_000)] = 250_000
    max_document_bytes: Annotated[int, Field(ge=1024, le=256 << 20)] = 4 << 20
