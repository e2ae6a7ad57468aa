"""Endpoints of somebody else's: what of them contradicts itself, and which promises would silently not hold there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from trivet.config import schema
from trivet.config.engines.engine_checks import model_problems
from trivet.config.engines.remote_checks import is_loopback
from trivet.config.schema import ConfigFile, RouteSection, VariantSection
from trivet.config.yaml_lines import YamlDocument

# What `trivet.backends.openai.request_body` says itself.
OWN_FIELDS = frozenset(
    {
        "model", "prompt", "messages", "stream", "stream_options", "max_tokens", "max_completion_tokens", "temperature",
        "top_p", "top_k", "min_p", "seed", "stop", "presence_penalty", "frequency_penalty", "repetition_penalty",
        "response_format", "cache_salt", "n", "best_of", "echo", "suffix", "logprobs", "top_logprobs", "tools",
        "tool_choice", "functions", "function_call",
    }
)  # fmt: skip
_NEVER = frozenset({"tools", "logprobs"})
_WITH_IDS = frozenset({"template_variables", "top_k", "min_p", "repetition_penalty"})
_NEEDS_IDS = "is not heeded where prompts go as messages: expected token_ids: true in backend"


def endpoint_problems(
    document: YamlDocument, at: tuple[str, ...], backend: schema.OpenAiBackend, folder: Path, *, insecure: bool
) -> Iterator[str]:
    """One line per problem. `at` is the backend's place in the file, `folder` the file's own."""
    yield from model_problems(document, at, backend, folder)
    for field in ("key_file", "ca_file"):
        name = getattr(backend, field)
        if name is not None and not (folder / name).is_file():
            yield document.problem((*at, field), f"no file {folder / name}")
    if backend.key_file is not None and backend.key_env is not None:
        yield document.problem((*at, "key_env"), "has no effect beside key_file: leave one of them out")
    url = urlsplit(backend.url)
    if url.scheme == "http":
        if not is_loopback(url.netloc if url.port else f"{url.netloc}:80") and not insecure:
            told = "all prompts and the key would go there in clear: expected https:// (or --insecure)"
            yield document.problem((*at, "url"), told)
        if backend.ca_file is not None:
            yield document.problem((*at, "ca_file"), "has no effect with http://")
    if backend.url.endswith("/"):
        yield document.problem((*at, "url"), "expected no '/' at the end, as in https://host/v1")
    for field, value in backend.extra_body.items():
        if not _is_json(value):
            yield document.problem((*at, "extra_body", field), "expected what JSON can say")
    for field in sorted(backend.extra_body.keys() & OWN_FIELDS):
        yield document.problem((*at, "extra_body", field), "is said by routes and requests: leave it out")
    if backend.max_model_len is None and not backend.takes_ids:
        yield document.problem((*at, "max_model_len"), "required unless token_ids: true: most endpoints do not tell it")
    if backend.takes_ids and backend.limit_field != "max_tokens":
        yield document.problem((*at, "limit_field"), "has no effect with token_ids: true")


def _is_json(value: Any) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return False
    return True


def endpoint_route_problems(document: YamlDocument, file: ConfigFile) -> Iterator[str]:
    """What routes want of such a backend that it cannot do, or that nobody could see it do."""
    tenants = {key.tenant for key in file.keys}
    for route_name, route in file.routes.items():
        for name, variant in route.variants.items():
            backend = file.backends.get(variant.backend)
            if isinstance(backend, schema.OpenAiBackend):
                at = ("routes", route_name, "variants", name)
                yield from _route(document, ("routes", route_name), route, variant.backend, backend, len(tenants) > 1)
                yield from _variant(document, at, variant, backend)


def _route(
    document: YamlDocument,
    at: tuple[str, ...],
    route: RouteSection,
    name: str,
    backend: schema.OpenAiBackend,
    several_tenants: bool,
) -> Iterator[str]:
    for position, field in enumerate(route.allow):
        if field in _NEVER:
            told = f"{field} are not offered by backend {name}, which is of kind openai: leave it out of this route"
            yield document.problem((*at, "allow", position), told)
        elif field in _WITH_IDS and not backend.takes_ids:
            yield document.problem((*at, "allow", position), f"{field} {_NEEDS_IDS} {name}")
    if backend.takes_ids:
        return
    if route.cache == "tenant" or (route.cache is None and several_tenants):
        told = (
            f"backend {name} cannot be told to keep the caches of tenants apart: expected cache: shared, which says so"
        )
        yield document.problem((*at, "cache"), f"{told}, or token_ids: true")


def _variant(
    document: YamlDocument, at: tuple[str, ...], variant: VariantSection, backend: schema.OpenAiBackend
) -> Iterator[str]:
    if variant.sampling.max_reasoning_tokens is not None:
        told = f"is not offered by backend {variant.backend}, which is of kind openai"
        yield document.problem((*at, "sampling", "max_reasoning_tokens"), told)
    if backend.takes_ids:
        return
    silent = {"top_k": None, "min_p": 0.0, "repetition_penalty": 1.0}
    for field, value in silent.items():
        if getattr(variant.sampling, field) != value:
            yield document.problem((*at, "sampling", field), f"{_NEEDS_IDS} {variant.backend}")
    if variant.template_variables:
        yield document.problem((*at, "template_variables"), f"{_NEEDS_IDS} {variant.backend}")
