"""What generates: a vLLM engine in this process, engine nodes on other machines, or an endpoint of somebody else's."""

from __future__ import annotations

import re
from datetime import date
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field, StringConstraints

from trivet.config.fields import patterns
from trivet.config.fields.kinds import Count, HostPort, NotNegative, Positive, Section, Sha256, Text

_HUB = "hub:"
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_ON_HUB = re.compile(r"hub:[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}(@[A-Za-z0-9][\w./-]{0,95})?")


def _model_place(text: str) -> str:
    if text.startswith(_HUB) and not _ON_HUB.fullmatch(text):
        raise ValueError(
            "expected a folder, or hub:organisation/name, with @revision behind it for a branch or a commit"
        )
    return text


def _date(text: str) -> str:
    if not _DATE.fullmatch(text):
        raise ValueError("expected a date such as 2024-07-26, in quotes")
    date.fromisoformat(text)
    return text


ModelPlace = Annotated[Text, AfterValidator(_model_place)]


class Restart(Section):
    """How a dead engine is started again; seconds."""

    first_delay: Positive = 0.5
    max_delay: Positive = 30.0
    settled_after: Positive = 60.0


class _Backend(Section):
    """What every backend has: the model that prompts are written for."""

    model: ModelPlace
    hub_endpoint: Annotated[str, StringConstraints(pattern=r"^https?://[^/\s?#@]+(/[^\s?#]*)?$")] | None = None
    trust_remote_code: bool = False
    max_model_len: Annotated[int, Field(ge=64)] | None = None
    chat_template: Text | None = None
    chat_template_name: Text | None = None
    template_date: Annotated[str, AfterValidator(_date)] | None = None
    allow_plain_roles: bool = False
    restart: Restart = Restart()

    @property
    def on_hub(self) -> bool:
        """Whether its model is fetched from a hub, instead of read from a folder."""
        return self.model.startswith(_HUB)


class _AdapterBackend(_Backend):
    """One that takes adapters, and what these must fit."""

    enable_lora: bool = True
    max_cpu_loras: Count = 16
    max_adapter_loads: Count = 2
    max_lora_rank: Literal[1, 8, 16, 32, 64, 128, 256, 320, 512] = 16
    start_timeout: Positive = 900.0


class EmbeddedBackend(_AdapterBackend):
    """vLLM in this process. Names are vLLM's own where it has one.

    What Trivet needs to know itself is a field; every other argument of vLLM's that it takes is in `engine_args`.
    """

    kind: Literal["embedded"]
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    block_size: Annotated[int, Field(ge=1)] | None = None
    max_num_seqs: Count = 32
    kv_cache_memory_bytes: Annotated[int, Field(ge=1 << 20)] | None = None
    tensor_parallel_size: Annotated[int, Field(ge=1, le=1024)] = 1
    pipeline_parallel_size: Annotated[int, Field(ge=1, le=1024)] = 1
    gpu_memory_utilization: Annotated[float, Field(gt=0, le=1)] | None = None
    reasoning_parser: Text | None = None
    tool_parser: Text | None = None
    engine_args: Annotated[dict[str, Any], Field(max_length=100)] = {}
    max_loras: Count = 2
    adapter_quantum_ms: NotNegative = 500.0
    hang_timeout: Positive = 120.0


class NodeTls(Section):
    """How a gateway checks its nodes, and shows itself to them: PEM files, relative to the file's folder.

    `server_name`: the name in the nodes' certificates, where it is not their address.
    """

    ca: Text
    certificate: Text | None = None
    key: Text | None = None
    server_name: Text | None = None


class KubernetesNodes(Section):
    """The endpoints of a Kubernetes Service. Files and namespace: by default those that a pod is given."""

    service: Annotated[str, StringConstraints(pattern=patterns.LABEL)]
    port: Annotated[int, Field(ge=1, le=65535)] = 7610
    namespace: Annotated[str, StringConstraints(pattern=patterns.LABEL)] | None = None
    api: Annotated[str, StringConstraints(pattern=patterns.URL)] = "https://kubernetes.default.svc"
    token_file: Text | None = None
    ca_file: Text | None = None
    refresh: Annotated[float, Field(ge=1, le=3600)] = 30.0


class RayNodes(Section):
    """The engine nodes that `trivet ray scale` keeps on a Ray cluster. `address`: of Ray's control service; `auto`: the
    Ray node on this machine."""

    address: Annotated[str, StringConstraints(pattern=patterns.RAY_ADDRESS)] = "auto"
    namespace: Annotated[str, StringConstraints(pattern=patterns.LABEL)] = "trivet"
    refresh: Annotated[float, Field(ge=0.5, le=3600)] = 2.0


class Nodes(Section):
    """Where the engine nodes are: one of these. `refresh`: seconds after which the DNS name is asked for again."""

    addresses: Annotated[list[HostPort], Field(max_length=1024)] = []
    dns: HostPort | None = None
    kubernetes: KubernetesNodes | None = None
    ray: RayNodes | None = None
    refresh: Positive = 5.0


class RemoteBackend(_AdapterBackend):
    """Engine nodes on other machines (`trivet engine`), which all have this model. Times in seconds.

    A node that says nothing for `lost_after` is given up, with what it was asked. `load_bound`: a node is asked for its
    adapter's or prefix's sake while it has at most so many times its share of all requests.
    """

    kind: Literal["remote"]
    nodes: Nodes
    key_file: Text | None = None
    tls: NodeTls | None = None
    model_digest: Sha256 | None = None
    heartbeat: Annotated[float, Field(ge=0.1, le=60)] = 1.0
    lost_after: Positive = 3.0
    slow_start: NotNegative = 10.0
    load_bound: Annotated[float, Field(ge=1, le=10)] = 1.25


class OpenAiBackend(_Backend):
    """An endpoint with OpenAI's API, which is asked and never changed. Times in seconds.

    `served_model`: what the endpoint calls its model, or an adapter that its operator has loaded. `key_env`: the
    environment variable that has the key, instead of `key_file`. `token_ids`: whether prompts go as token ids, as vLLM
    takes them, or as messages. `max_failures`: after so many failed requests in a row it is tried, and taken for
    down if that fails too.
    """

    kind: Literal["openai"]
    url: Annotated[str, StringConstraints(pattern=patterns.URL, max_length=2048)]
    served_model: Annotated[Text, Field(max_length=256)]
    key_file: Text | None = None
    key_env: Annotated[str, StringConstraints(pattern=patterns.VARIABLE)] | None = None
    ca_file: Text | None = None
    token_ids: Literal["auto"] | bool = "auto"  # noqa: S105
    limit_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    extra_body: Annotated[dict[str, Any], Field(max_length=32)] = {}
    max_connections: Annotated[int, Field(ge=1, le=4096)] = 64
    connect_timeout: Positive = 5.0
    first_token_timeout: Positive = 60.0
    idle_timeout: Positive = 30.0
    health_interval: Annotated[float, Field(ge=0.1, le=3600)] = 15.0
    max_failures: Annotated[int, Field(ge=1, le=1000)] = 5

    start_timeout: ClassVar[float] = 60.0
    enable_lora: ClassVar[bool] = False
    max_cpu_loras: ClassVar[int] = 1
    max_adapter_loads: ClassVar[int] = 1
    max_lora_rank: ClassVar[int] = 16

    @property
    def takes_ids(self) -> bool:
        """Whether it is sure to be given token ids."""
        return self.token_ids is True


BackendSection = Annotated[EmbeddedBackend | RemoteBackend | OpenAiBackend, Field(discriminator="kind")]
