"""Limits and keys for some routes, over HTTP: the same as over gRPC, told as OpenAI's clients expect it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from tests.support.gateway.harness import gateway
from trivet.types.budget import Limit, LimitSet, Owner, Period, Unit
from trivet.types.request import KeyRole

CHAT = {"model": "plain", "messages": [{"role": "user", "content": "How long is the warranty?"}]}
LIMITS = LimitSet(by_key={"secret": (Limit(Owner.KEY, "secret", Period.MONTH, Unit.REQUESTS, 2, warn_at=0.5),)})


@pytest.fixture
async def web(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """With a key that may call one route, twice a month."""
    keys = [("secret", "acme", KeyRole.CLIENT)]
    async with gateway(tmp_path, http=True, keys=keys, limits=LIMITS, key_routes=["plain"]) as running:
        headers = {"authorization": "Bearer secret"}
        async with httpx.AsyncClient(base_url=f"http://{running.http}", headers=headers, timeout=60) as asking:
            yield asking


async def test_a_limit_is_warned_of_and_then_refused(web: httpx.AsyncClient) -> None:
    answers = [await web.post("/v1/chat/completions", json=CHAT) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert "x-trivet-budget-warning" not in answers[0].headers
    assert answers[1].headers["x-trivet-budget-warning"] == "0.50 of 2 requests per month of key secret"
    error = answers[2].json()["error"]
    assert (error["code"], error["trivet"]["reason"]) == ("rate_limit_exceeded", "BUDGET_EXCEEDED")
    assert int(answers[2].headers["retry-after"]) >= 1


async def test_a_key_sees_and_calls_its_routes_alone(web: httpx.AsyncClient) -> None:
    assert [model["id"] for model in (await web.get("/v1/models")).json()["data"]] == ["plain"]
    assert (await web.get("/v1/models/rag")).status_code == 404
    refused = await web.post("/v1/chat/completions", json={**CHAT, "model": "rag"})
    assert (refused.status_code, refused.json()["error"]["trivet"]["reason"]) == (403, "PERMISSION_DENIED")
