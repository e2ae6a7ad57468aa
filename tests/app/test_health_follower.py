"""Health follows what can be served, and says NOT_SERVING for good once the server stops."""

from __future__ import annotations

import asyncio
from typing import Any
from unittest.mock import Mock

from grpc_health.v1 import health_pb2

from trivet.app.health_follower import HealthFollower
from trivet.rpc.server import Health

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


async def test_follows_every_change_and_stops_for_good() -> None:
    health = Health()
    ready = True
    follower = HealthFollower(health)
    follower.changed()  # before the start: nothing is told yet
    await follower.start(lambda: ready)
    assert await _told(health, SERVING)
    for ready in (False, True, False, True):
        follower.changed()
        assert await _told(health, SERVING if ready else NOT_SERVING)
    await follower.stop()
    follower.changed()
    await asyncio.sleep(0.01)
    assert await _told(health, NOT_SERVING)


async def test_a_server_that_never_started_is_not_serving() -> None:
    health = Health()
    await HealthFollower(health).stop()
    assert await _told(health, NOT_SERVING)


async def _told(health: Health, wanted: int) -> bool:
    """Within ten seconds, for the server and each service; `liveness` is always SERVING."""
    names = ("", "trivet.api.v1.Inference", "trivet.api.v1.Admin")
    async with asyncio.timeout(60):
        while {await _status(health, name) for name in names} != {wanted}:
            await asyncio.sleep(0)
    return bool(await _status(health, "liveness") == SERVING)


async def _status(health: Health, service: str) -> int:
    context: Any = Mock(**{"invocation_metadata.return_value": (), "time_remaining.return_value": None})
    answer = await health.servicer.Check(health_pb2.HealthCheckRequest(service=service), context)
    return int(answer.status)
