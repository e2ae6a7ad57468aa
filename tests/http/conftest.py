"""A gateway with both doors, on a scripted backend."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from tests.support.gateway.harness import Gateway, gateway
from trivet.types.request import KeyRole

KEYS = (("secret-a", "a", KeyRole.CLIENT), ("secret-b", "b", KeyRole.CLIENT))


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Gateway]:
    """One for each test; its clients are the tenants a and b."""
    async with gateway(tmp_path, http=True, keys=KEYS) as running:
        yield running


@pytest.fixture
async def web(served: Gateway) -> AsyncIterator[httpx.AsyncClient]:
    """Tenant a's plain HTTP client."""
    headers = {"authorization": "Bearer secret-a"}
    async with httpx.AsyncClient(base_url=f"http://{served.http}", headers=headers, timeout=60) as asking:
        yield asking
