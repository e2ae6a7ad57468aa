"""ReloadRoutes: for operators alone, and its refusals carry what was wrong."""

from __future__ import annotations

from collections.abc import AsyncIterator

import grpc
import pytest
import pytest_asyncio

from tests.support.gateway.admin_stub import admin_stub
from tests.support.gateway.harness import failure
from trivet.api.v1 import admin_pb2, admin_pb2_grpc
from trivet.errors import BackendUnavailable, ConfigError
from trivet.pipeline.routes.route_update import RouteChange
from trivet.types.request import KeyRole

KEYS = {"boss": KeyRole.OPERATOR, "acme": KeyRole.CLIENT}
REQUEST = admin_pb2.ReloadRoutesRequest()


class Outcome:
    """What the next reload does."""

    def __init__(self) -> None:
        self.given: RouteChange | Exception = RouteChange(4, ("route a: removed",))
        self.calls = 0

    async def reload(self) -> RouteChange:
        self.calls += 1
        if isinstance(self.given, Exception):
            raise self.given
        return self.given


@pytest.fixture
def outcome() -> Outcome:
    return Outcome()


@pytest_asyncio.fixture
async def stub(outcome: Outcome) -> AsyncIterator[admin_pb2_grpc.AdminStub]:
    async with admin_stub(reload=outcome.reload, keys=KEYS) as stub:
        yield stub


def key(name: str) -> list[tuple[str, str]]:
    return [("authorization", f"Bearer {name}")]


async def test_an_operator_is_told_what_differs(stub: admin_pb2_grpc.AdminStub) -> None:
    response = await stub.ReloadRoutes(REQUEST, metadata=key("boss"))
    assert (response.revision, list(response.differences)) == (4, ["route a: removed"])


@pytest.mark.parametrize(("metadata", "code"), [(key("acme"), "PERMISSION_DENIED"), ([], "UNAUTHENTICATED")])
async def test_nobody_else_may(
    stub: admin_pb2_grpc.AdminStub, outcome: Outcome, metadata: list[tuple[str, str]], code: str
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await stub.ReloadRoutes(REQUEST, metadata=metadata)
    assert (failure(refused.value).code, outcome.calls) == (code, 0)


async def test_why_not_is_in_the_status(stub: admin_pb2_grpc.AdminStub, outcome: Outcome) -> None:
    outcome.given = ConfigError(["trivet.yaml:3: routes.a.weight: unknown field", "trivet.yaml:9: keys: differs"])
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await stub.ReloadRoutes(REQUEST, metadata=key("boss"))
    found = failure(refused.value)
    assert (found.code, found.reason, found.retry_after) == ("FAILED_PRECONDITION", "CONFIG_INVALID", None)
    assert found.message.splitlines() == list(outcome.given.problems)
    outcome.given = BackendUnavailable("the engine of backend a is down", 5.0)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await stub.ReloadRoutes(REQUEST, metadata=key("boss"))
    found = failure(refused.value)
    assert (found.code, found.retry_after) == ("UNAVAILABLE", 5.0)
