"""What a single field cannot tell: dangling names, contradictions, and settings that would silently not apply."""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path

from trivet.config import schema
from trivet.config.accounting import accounting_problems
from trivet.config.budgets import budget_problems
from trivet.config.engines.adapter_choices import choice_problems
from trivet.config.engines.endpoint_checks import endpoint_problems, endpoint_route_problems
from trivet.config.engines.engine_checks import engine_problems, overcommitted_gpus
from trivet.config.engines.process_checks import process_problems
from trivet.config.engines.remote_checks import is_loopback, remote_problems
from trivet.config.rollouts import check_pinned, check_rollout
from trivet.config.schema import (
    ConfigFile,
    EmbeddedBackend,
    HubAdapterSection,
    RemoteBackend,
    RouteSection,
    Schemas,
    VariantSection,
)
from trivet.config.schema.server import LISTENERS
from trivet.config.yaml_lines import YamlDocument
from trivet.excerpt import without
from trivet.schemas.check import schema_problems
from trivet.schemas.limits import SchemaLimits

# How adapters are reached by URL: the module of fsspec's that it takes, and what installs it.
DRIVERS = {
    "s3": ("s3fs", "trivet[s3]"),
    "gs": ("gcsfs", "trivet[gs]"),
    "az": ("adlfs", "trivet[az]"),
    "abfs": ("adlfs", "trivet[az]"),
    "http": ("aiohttp", "trivet[http]"),
    "https": ("aiohttp", "trivet[http]"),
}
# A bucket, container or host, and a path whose parts are no "." and no "..".
_PLACE = re.compile(r"[a-z0-9]+://[\w.-]+(:[0-9]{1,5})?(/(?!\.{1,2}(/|$))[\w.=~+-]+)*/?")
_SECRET_IN_URL = re.compile(r"[?&](password|passfile|sslpassword)=")
_S3_PLACE = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/.*)?")


def check_config(
    document: YamlDocument, file: ConfigFile, folder: Path, *, insecure: bool, origins: Mapping[str, str]
) -> list[str]:
    """One line per problem; empty if the file can be served as it is.

    `file` may lack what the document has and is wrong itself. `folder` is the file's own. `origins`: the options that
    the listeners come from, of those that do not come from the file.
    """
    problems = [
        *_listeners(document, file, insecure=insecure, origins=origins),
        *tls_problems(document, ("server", "tls"), file.server.tls, folder),
        *_tracing(document, file, folder),
        *_keys(document, file),
        *_backends(document, file, folder, insecure=insecure),
        *adapter_source_problems(document, file),
        *choice_problems(document, file),
        *endpoint_route_problems(document, file),
        *accounting_problems(document, file),
        *process_problems(document, file),
        *budget_problems(document, file),
        *_qdrant(document, file, folder),
        *_state(document, file, folder),
        *_interactions(document, file, folder),
    ]
    for name, route in file.routes.items():
        problems += _route(document, file, folder, name, route)
        problems += check_rollout(document, file, name)
    problems += check_pinned(document, file)
    return problems


def schema_limits(schemas: Schemas) -> SchemaLimits:
    """The bounds that can be told without compiling."""
    return SchemaLimits(**{name: getattr(schemas, name) for name in SchemaLimits.__slots__})


def _listeners(
    document: YamlDocument, file: ConfigFile, *, insecure: bool, origins: Mapping[str, str]
) -> Iterator[str]:
    def problem(name: str, text: str) -> str:
        return f"{origins[name]}: {text}" if name in origins else document.problem(("server", name), text)

    # Those that are wrong themselves are told as such; here it matters whether there are any.
    secured = bool(file.server.tls or ("server", "tls", "key") in document.lines) and bool(
        file.keys or ("keys", 0) in document.lines
    )
    taken: dict[str, str] = {}
    for name in LISTENERS:
        value: str | None = getattr(file.server, name)
        if value is None:
            continue
        port = int(value.rpartition(":")[2])
        if port > 65535:
            yield problem(name, f"port {port}, expected 0 to 65535")
        if port and value in taken:
            yield problem(name, f"{value} is taken by server.{taken[value]}")
        taken[value] = name
        if is_loopback(value) or insecure or name == "metrics_listen" or secured:
            continue
        yield problem(
            name,
            f"{value} can be reached from other machines: expected server.tls and keys (or --insecure, which lets "
            "anybody in)",
        )


def _tracing(document: YamlDocument, file: ConfigFile, folder: Path) -> Iterator[str]:
    authority = file.tracing.ca_file
    if authority is not None and not (folder / authority).is_file():
        yield document.problem(("tracing", "ca_file"), f"no file {folder / authority}")


def tls_problems(document: YamlDocument, at: tuple[str, ...], tls: schema.Tls | None, folder: Path) -> Iterator[str]:
    """What is wrong with a listener's certificates."""
    if tls is None:
        return
    missing = [name for name, value in tls.model_dump(exclude_none=True).items() if not (folder / value).is_file()]
    for name in missing:
        yield document.problem((*at, name), f"no file {folder / getattr(tls, name)}")
    if missing:
        return
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(folder / tls.certificate, folder / tls.key, password="")
    except (OSError, ValueError) as error:  # an SSLError is an OSError
        expected = "expected a certificate and its unencrypted private key, both PEM"
        yield document.problem(at, f"{tls.certificate} and {tls.key} cannot be used ({_reason(error)}), {expected}")
    if tls.client_ca is not None:
        try:
            context.load_verify_locations(folder / tls.client_ca)
        except OSError as error:
            problem = f"{tls.client_ca} cannot be used ({_reason(error)}), expected certificates, PEM"
            yield document.problem((*at, "client_ca"), problem)


def _reason(error: Exception) -> str:
    return str(getattr(error, "reason", None) or getattr(error, "strerror", None) or error)


def _keys(document: YamlDocument, file: ConfigFile) -> Iterator[str]:
    for field in ("name", "sha256"):
        seen: set[str] = set()
        for position, key in enumerate(file.keys):
            value = getattr(key, field)
            if value in seen:
                yield document.problem(("keys", position, field), "given to an earlier key already")
            seen.add(value)


def _backends(document: YamlDocument, file: ConfigFile, folder: Path, *, insecure: bool) -> Iterator[str]:
    with_lora = [name for name, backend in file.backends.items() if backend.enable_lora]
    for name in with_lora[1:]:
        yield document.problem(
            ("backends", name, "enable_lora"),
            f"{with_lora[0]!r} and {name!r} have enable_lora: true (the default), expected one backend with adapters "
            "at most: set it to false in the others",
        )
    for problem in overcommitted_gpus(file.backends):
        yield document.problem(("backends",), problem)
    for name, backend in file.backends.items():
        at = ("backends", name)
        if isinstance(backend, RemoteBackend):
            yield from remote_problems(document, at, backend, folder, insecure=insecure)
        elif isinstance(backend, schema.OpenAiBackend):
            yield from endpoint_problems(document, at, backend, folder, insecure=insecure)
        else:
            yield from engine_problems(document, at, backend, folder)
            yield from embedded_problems(document, at, backend)
        if backend.restart.max_delay < backend.restart.first_delay:
            expected = f"expected at least first_delay ({backend.restart.first_delay:g})"
            yield document.problem((*at, "restart", "max_delay"), expected)
        if not backend.enable_lora and not isinstance(backend, schema.OpenAiBackend):
            for field in ("max_loras", "max_cpu_loras", "max_adapter_loads", "max_lora_rank", "adapter_quantum_ms"):
                if (*at, field) in document.lines:
                    yield document.problem((*at, field), "has no effect while enable_lora is false")


def embedded_problems(document: YamlDocument, at: tuple[str, ...], backend: EmbeddedBackend) -> Iterator[str]:
    """What the fields of an engine contradict."""
    if backend.max_cpu_loras < backend.max_loras:
        yield document.problem((*at, "max_cpu_loras"), f"expected at least max_loras ({backend.max_loras})")
    if backend.kv_cache_memory_bytes is not None and backend.gpu_memory_utilization is not None:
        yield document.problem((*at, "gpu_memory_utilization"), "has no effect beside kv_cache_memory_bytes")


def adapter_source_problems(document: YamlDocument, file: ConfigFile | schema.EngineFile) -> Iterator[str]:
    """What is wrong with the places that adapters come from."""
    hub = [entry for entry in file.adapters if isinstance(entry, HubAdapterSection)]
    schemes = {root.partition("://")[0] for root in _roots(file) if _is_distant(root)}
    for position, entry in enumerate(file.adapters):
        at = ("adapters", position)
        if isinstance(entry, HubAdapterSection):
            earlier = [other for other in file.adapters[:position] if isinstance(other, HubAdapterSection)]
            if (entry.name, entry.version) in {(other.name, other.version) for other in earlier}:
                yield document.problem(at, f"{entry.name}@{entry.version} is given twice")
            continue
        if entry in file.adapters[:position]:
            yield document.problem(at, f"{entry} is given twice")
        if _is_distant(entry) and (problem := _remote_problem(entry)):
            yield document.problem(at, problem)
    given = file.adapter_source.model_fields_set
    if "s3" not in schemes:
        for field in sorted(given & {"endpoint_url", "region"}):
            yield document.problem(("adapter_source", field), "has no effect without an s3:// place in adapters")
    if not hub and "hub_endpoint" in given:
        yield document.problem(("adapter_source", "hub_endpoint"), "has no effect without a hub: adapter in adapters")
    if not schemes and not hub and "timeout" in given:
        yield document.problem(("adapter_source", "timeout"), "has no effect without a distant place in adapters")


def _roots(file: ConfigFile | schema.EngineFile) -> list[str]:
    return [entry for entry in file.adapters if isinstance(entry, str)]


def _is_distant(root: str) -> bool:
    return "://" in root and not root.startswith("file:///")


def _remote_problem(root: str) -> str:
    scheme = root.partition("://")[0]
    known = ", ".join(f"{name}://" for name in DRIVERS)
    if scheme not in DRIVERS:
        return f"{root} is neither a folder nor one of {known}, file:///"
    if not _PLACE.fullmatch(root) or (scheme == "s3" and not _S3_PLACE.fullmatch(root)):
        return f"{root} is not a location: expected {scheme}://name/path, without credentials, a query or '..'"
    module, package = DRIVERS[scheme]
    return f"needs {module}: install {package}" if find_spec(module) is None else ""


def _qdrant(document: YamlDocument, file: ConfigFile, folder: Path) -> Iterator[str]:
    if file.qdrant.url is None:
        for field in sorted(file.qdrant.model_fields_set - {"url"}):
            yield document.problem(("qdrant", field), "has no effect without qdrant.url")
    if file.qdrant.write_consistency > file.qdrant.replicas:
        yield document.problem(
            ("qdrant", "write_consistency"),
            f"more than the {file.qdrant.replicas} replicas: no write would ever be done",
        )
    key = file.qdrant.api_key_file
    if key is not None and not (folder / key).is_file():
        yield document.problem(("qdrant", "api_key_file"), f"no file {folder / key}")


def _state(document: YamlDocument, file: ConfigFile, folder: Path) -> Iterator[str]:
    state = file.state
    if state.url == "sqlite" and state.password_file is not None:
        yield document.problem(("state", "password_file"), "has no effect without a database's URL in state.url")
    elif state.password_file is not None and not (folder / state.password_file).is_file():
        yield document.problem(("state", "password_file"), f"no file {folder / state.password_file}")
    if _SECRET_IN_URL.search(state.url):
        expected = "expected state.password_file or TRIVET_STATE_PASSWORD"
        yield document.problem(("state", "url"), f"has a password in it: {expected}")


def _interactions(document: YamlDocument, file: ConfigFile, folder: Path) -> Iterator[str]:
    keys = file.interactions.key_file
    if keys is not None and not (folder / keys).is_file():
        yield document.problem(("interactions", "key_file"), f"no file {folder / keys}")
    kept = any(("routes", name, "interactions") in document.lines for name in file.routes)
    if file.interactions.model_fields_set and not kept:
        told = "has no effect: no route keeps interactions, expected interactions: {share: 1} in one"
        yield document.problem(("interactions",), told)


def _route(document: YamlDocument, file: ConfigFile, folder: Path, name: str, route: RouteSection) -> Iterator[str]:
    at = ("routes", name)
    whole = len(route.variants) == document.count((*at, "variants"))
    if ("routes", name, "rollout") not in document.lines:
        weights = {key: variant.weight for key, variant in route.variants.items()}
        for key in (key for key, weight in weights.items() if weight is None):
            yield document.problem((*at, "variants", key, "weight"), "required field is missing")
        if whole and not any(weight is None or weight > 0 for weight in weights.values()):
            yield document.problem((*at, "variants"), "all weights are 0, expected at least one above")
    retrieves = not whole or any(item.retrieval for item in route.variants.values())
    if "retrieval" in route.model_fields_set and not retrieves:
        yield document.problem((*at, "retrieval"), "has no effect: no variant of this route searches an index")
    for key, variant in route.variants.items():
        yield from _variant(document, file, folder, (*at, "variants", key), variant)


def _variant(
    document: YamlDocument, file: ConfigFile, folder: Path, at: tuple[str, ...], variant: VariantSection
) -> Iterator[str]:
    backend = file.backends.get(variant.backend)
    if backend is None:
        if ("backends", variant.backend) not in document.lines:
            known = ", ".join(file.backends) or "none"
            yield document.problem((*at, "backend"), f"no backend {variant.backend!r}; known: {known}")
    elif variant.adapter is not None and isinstance(backend, schema.OpenAiBackend):
        told = f"backend {variant.backend!r} is only asked: expected the adapter's name there in its served_model"
        yield document.problem((*at, "adapter"), told)
    elif variant.adapter is not None and not backend.enable_lora:
        yield document.problem((*at, "adapter"), f"backend {variant.backend!r} has enable_lora: false")
    elif backend.max_model_len is not None and variant.sampling.max_tokens >= backend.max_model_len:
        expected = f"expected less than max_model_len of its backend ({backend.max_model_len})"
        yield document.problem((*at, "sampling", "max_tokens"), expected)
    unparsed = isinstance(backend, EmbeddedBackend) and backend.reasoning_parser is None  # a node's is its own
    if unparsed and variant.sampling.max_reasoning_tokens is not None:
        told = f"backend {variant.backend!r} has no reasoning_parser, which tells where thoughts end"
        yield document.problem((*at, "sampling", "max_reasoning_tokens"), told)
    if variant.json_schema is not None:
        for problem in schema_problems(variant.json_schema, schema_limits(file.schemas)):
            yield document.problem((*at, "json_schema"), f"at {problem}")
    rewrite = None if variant.retrieval is None else variant.retrieval.rewrite
    named = {(*at, "prompt"): variant.prompt}
    if rewrite is not None:
        named[*at, "retrieval", "rewrite", "prompt"] = rewrite.prompt
        if rewrite.model == "adapter" and variant.adapter is None:
            yield document.problem((*at, "retrieval", "rewrite", "model"), "is adapter, and the variant has none")
    for where, ref in named.items():
        prompt = folder / file.prompts / (ref.replace("@", "/") + ".md")
        if not prompt.is_file():
            yield document.problem(where, without(f"no file {prompt}", [file.prompts]))
    if variant.one_adapter is not None:
        yield from _variant_adapter(document, file, folder, at, variant.one_adapter)


def _variant_adapter(
    document: YamlDocument, file: ConfigFile, folder: Path, at: tuple[str, ...], adapter: str
) -> Iterator[str]:
    """It is in one of the local folders, or from the hub; what a distant place has is seen when it is loaded."""
    entries = file.adapters
    if len(entries) < document.count(("adapters",)):  # one that is wrong itself may be the place
        return
    found = [
        root for root in _roots(file) if "://" not in root and (folder / root / adapter.replace("@", "/")).is_dir()
    ]
    found += [e.source for e in entries if isinstance(e, HubAdapterSection) and f"{e.name}@{e.version}" == adapter]
    if len(found) > 1 or (not found and not any("://" in root for root in _roots(file))):
        places = [entry if isinstance(entry, str) else entry.source for entry in entries]
        where = f"in {len(found)} of the places" if found else "in none of the places"
        yield document.problem((*at, "adapter"), f"{adapter} is {where} {places}, expected in one")
