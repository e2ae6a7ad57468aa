"""What an endpoint is found to be when it is first asked: its model, its context, whether it takes our token ids."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trivet.backends.openai.connections import Connections
from trivet.backends.openai.failures import RETRY_AFTER, Refused
from trivet.backends.openai.settings import EndpointSettings
from trivet.errors import BackendUnavailable
from trivet.excerpt import quote

# Cut by other tokenizers, or by other versions of one, in other places: scripts, numbers, spaces, punctuation.
SAMPLE = (
    "Trivet's 3 legs (2026): naïve café, Größe 12.50 €\n\tfor i in range(1_000): print(f'{i:>8}')  日本語 русский 🙂"
)
_MOST_NAMES = 5


@dataclass(frozen=True, slots=True)
class Findings:
    """`health_url`: what tells whether it is well. `checked`: its tokenizer was compared with ours."""

    context_tokens: int
    token_ids: bool
    health_url: str
    checked: bool


async def examine(settings: EndpointSettings, connections: Connections) -> Findings:
    """Raises BackendUnavailable, and Refused for an endpoint that cannot be what the configuration says."""
    context = _context_of(settings, await _models(settings, connections))
    token_ids, checked = await _takes_ids(settings, connections)
    if context is None:
        raise Refused(f"backend {settings.name}: the endpoint does not tell its context, expected max_model_len", 1.0)
    status, _ = await connections.ask("GET", f"{settings.root}/health")
    health = f"{settings.root}/health" if status == 200 else f"{settings.url}/models"
    return Findings(context, token_ids, health, checked)


async def _models(settings: EndpointSettings, connections: Connections) -> list[Mapping[str, Any]] | None:
    """Those that it lists; None if it lists none."""
    status, body = await connections.ask("GET", f"{settings.url}/models")
    if status in (401, 403):
        raise Refused(f"the endpoint of backend {settings.name} does not accept the gateway's key ({status})", 1.0)
    if status >= 500 or status == 429:
        raise BackendUnavailable(f"the endpoint of backend {settings.name} answered with {status}", RETRY_AFTER)
    if status != 200:
        return None
    listed = _object(body).get("data")
    return [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else None


def _context_of(settings: EndpointSettings, models: list[Mapping[str, Any]] | None) -> int | None:
    """The smaller of what is configured and what vLLM says; None if neither says anything."""
    given = settings.context_tokens
    if models is None:
        return given
    for model in models:
        if model.get("id") == settings.served_model:
            told = model.get("max_model_len")
            if not isinstance(told, int) or isinstance(told, bool) or told < 1:
                return given
            return told if given is None else min(given, told)
    names = ", ".join(quote(model.get("id")) for model in models[:_MOST_NAMES]) or "none"
    more = f" and {len(models) - _MOST_NAMES} more" if len(models) > _MOST_NAMES else ""
    told = f"the endpoint of backend {settings.name} does not list {settings.served_model!r}; it lists {names}{more}"
    raise Refused(told, 1.0)


async def _takes_ids(settings: EndpointSettings, connections: Connections) -> tuple[bool, bool]:
    """Whether prompts go as ids, and whether its tokenizer was compared: where it differs, ids mean something else."""
    if settings.token_ids is False:
        return False, False
    body = {"model": settings.served_model, "prompt": SAMPLE, "add_special_tokens": False}
    status, answer = await connections.ask("POST", f"{settings.root}/tokenize", body)
    found = _object(answer).get("tokens") if status == 200 else None
    if not isinstance(found, list):
        return settings.token_ids is True, False
    same = found == list(await asyncio.to_thread(settings.tokenize, SAMPLE))
    if not same and settings.token_ids:
        told = f"the endpoint of backend {settings.name} has another tokenizer than the model's folder: its ids differ"
        raise Refused(told, 1.0)
    return same, True


def _object(body: bytes) -> Mapping[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
