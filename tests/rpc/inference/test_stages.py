"""The stages of the gateway's own time, over the wire: they add up, whatever becomes of the request."""

from __future__ import annotations

from pathlib import Path

import grpc
import pytest

from tests.support.gateway.harness import gateway, request
from trivet.metering.stages import Stage
from trivet.testing import ScriptedBackend


async def test_the_stages_of_all_requests_add_up_to_the_gateways_own_time(tmp_path: Path) -> None:
    backend = ScriptedBackend(["word "] * 20, interval=0.01)
    async with gateway(tmp_path, backend=backend, max_running=1, max_queued=8) as served:
        calls = [served.stub.Generate(request("rag", f"question {number}")) for number in range(6)]
        answers = [await call for call in calls]
        for route, timeout in (("nowhere", None), ("plain", 0.05)):
            with pytest.raises(grpc.aio.AioRpcError):
                await served.stub.Generate(request(route), timeout=timeout)

        def seconds(stage: str, part: str = "sum") -> float:
            return served.metric(f"gateway_overhead_seconds_{part}", stage=stage)

        assert seconds("total", "count") == 8
        assert {stage.value: seconds(stage, "count") for stage in Stage} == {
            "admission": 8, "resolve": 7, "retrieve": 7, "assemble": 7, "stream": 7, "receipt": 6,
        }  # fmt: skip
        stages = sum(seconds(stage) for stage in Stage)
        assert stages == pytest.approx(seconds("total"), abs=8 * 0.001)
        # Five of the six waited for a place behind the others' 200 ms: that is the queue's, and no stage's.
        assert sum(answer.receipt.queue_ms for answer in answers) > 2000
        assert seconds("admission") < 1.0
