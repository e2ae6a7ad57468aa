"""HTTP beside gRPC: what the load generator reads from a server, and the table made of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.measuring.workload import Prompt
from benchmarks.path.http.report import report, rows
from benchmarks.path.http.systems import GRPC, HTTP, LITELLM, VLLM
from benchmarks.path.load.chat_client import ChatClient
from tests.support.gateway.harness import gateway
from trivet.types.request import KeyRole


async def test_the_load_generator_reads_a_stream_of_the_http_door(tmp_path: Path) -> None:
    async with gateway(tmp_path, http=True, keys=(("secret-a", "a", KeyRole.CLIENT),)) as running:
        running.backend.script = ["Nine ", 'o\'clock, "sharp".', " {0}\r\n\r\n"]
        host, _, port = running.http.rpartition(":")
        client = ChatClient(host, int(port), "plain", [], "secret-a")
        for _ in range(2):  # the second one on the same connection
            answer = await client.send(Prompt("When?", []))
            assert answer.text == "".join(running.backend.script)
            assert answer.tokens == running.counted[-1].output_tokens
            assert answer.sent < answer.first <= answer.end
        await client.close()


def cell(system: str, turn: int, speed: float, **cpu: float) -> dict[str, Any]:
    return {
        "system": system, "round": turn, "streams": 8, "seconds": 2.0, "tokens": 2 * speed, "requests": 10,
        "ttft_ms": [10.0, 20.0, 30.0], "cached_tokens": [192], "others_cpu_seconds": 0.2,
        "cpu_seconds": {"engine": 1.0, "load": 0.5, **cpu},
    }  # fmt: skip


def test_ratios_are_taken_within_a_round_and_a_proxys_work_is_added() -> None:
    cells = [
        *(cell(system, 0, 1000, front=0.2) for system in (GRPC, HTTP, VLLM)),
        *(cell(system, 1, 500, front=0.2) for system in (GRPC, HTTP, VLLM)),
        cell(LITELLM, 0, 500, front=0.2, proxy=0.8),
        cell(LITELLM, 1, 250, front=0.2, proxy=0.8),
    ]
    found = {row.system: row for row in rows(cells)}
    assert (found[LITELLM].speed_to_vllm.low, found[LITELLM].speed_to_vllm.high) == (0.5, 0.5)
    assert found[LITELLM].added.low == 1.0
    assert (found[HTTP].added.low, found[HTTP].added.high) == (0.1, 0.2)
    assert found[LITELLM].added_to_vllm.middle == 10.0
    described = {"date": "today", "revision": "r", "changed": False, "cpu": "c", "cores": 2, "memory_gib": 1}
    described |= {"system": "s", "python": "3", "packages": {}, "load_average": 0.5}
    assert "LiteLLM before vLLM's server | 375 (250 to 500)" in report(described, {"rounds": 2}, cells)
