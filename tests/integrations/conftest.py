"""A gateway over a real index, shared by the tests of a module."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.support.gateway.index_gateway import IndexGateway, index_gateway


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[IndexGateway]:
    """It runs."""
    assert pytestconfig.cache is not None
    async with index_gateway(tmp_path_factory.mktemp("gateway"), pytestconfig.cache.mkdir("embedding")) as running:
        yield running
