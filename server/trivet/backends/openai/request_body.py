"""A request in the endpoint's own form: token ids for `/completions`, messages for `/chat/completions`.

Forms: https://platform.openai.com/docs/api-reference and vLLM 0.32's `CompletionRequest`, which takes ids as `prompt`
and adds `top_k`, `min_p`, `repetition_penalty`, `cache_salt` and usage in each event.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

from trivet.backends.openai.settings import EndpointSettings
from trivet.errors import InvalidRequest, NotFound
from trivet.types.generation import BackendRequest

COMPLETIONS, CHAT = "/completions", "/chat/completions"


def require_expressible(request: BackendRequest) -> None:
    """Raise for what the endpoint cannot be asked for: NotFound for an adapter, InvalidRequest for the rest."""
    if request.adapter is not None:
        raise NotFound(f"adapter {request.adapter} is not known to a backend that takes none")
    asked = {
        "tools": bool(request.tools) or request.required_calls is not None,
        "max_reasoning_tokens": request.sampling.max_reasoning_tokens is not None,
        "top_logprobs": request.sampling.top_logprobs is not None,
    }
    told = "is not offered by a backend of kind openai"
    if problems := {name: told for name, wanted in asked.items() if wanted}:
        raise InvalidRequest(problems)


def ids_body(settings: EndpointSettings, request: BackendRequest, key: str | None) -> dict[str, Any]:
    """For `/completions`. All of the sampling is said: a server fills what is left out from the model's own files."""
    sampling = request.sampling
    body = {
        **_common(settings, request),
        "max_tokens": sampling.max_tokens,
        "prompt": list(request.token_ids),
        "stream_options": {"include_usage": True, "continuous_usage_stats": True},
        "top_p": sampling.top_p,
        "top_k": sampling.top_k or 0,
        "min_p": sampling.min_p,
        "presence_penalty": sampling.presence_penalty,
        "frequency_penalty": sampling.frequency_penalty,
        "repetition_penalty": sampling.repetition_penalty,
    }
    if request.cache_salt is not None:
        body["cache_salt"] = _salt(request.cache_salt, key)
    return body


def chat_body(settings: EndpointSettings, request: BackendRequest) -> dict[str, Any]:
    """For `/chat/completions`. What says nothing is left out: some endpoints refuse a field that they do not know."""
    sampling = request.sampling
    body = {
        **_common(settings, request),
        settings.limit_field: sampling.max_tokens,
        "messages": [{"role": message.role, "content": message.content} for message in request.messages],
        "stream_options": {"include_usage": True},
    }
    said = {
        "top_p": (sampling.top_p, 1.0),
        "presence_penalty": (sampling.presence_penalty, 0.0),
        "frequency_penalty": (sampling.frequency_penalty, 0.0),
    }
    return {**body, **{name: value for name, (value, silent) in said.items() if value != silent}}


def _common(settings: EndpointSettings, request: BackendRequest) -> dict[str, Any]:
    sampling = request.sampling
    body: dict[str, Any] = {
        **settings.extra_body,
        "model": settings.served_model,
        "stream": True,
        "temperature": sampling.temperature,
    }
    if sampling.seed is not None:
        body["seed"] = sampling.seed
    if sampling.stop:
        body["stop"] = list(sampling.stop)
    if request.json_schema is not None:
        schema = {"name": "answer", "schema": dict(request.json_schema)}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    return body


def _salt(tenant: str, key: str | None) -> str:
    """The same for a tenant's every request, and nothing that others at the endpoint could guess."""
    return hmac.new((key or "").encode(), tenant.encode(), hashlib.sha256).hexdigest()
