"""The guard judges growth alone, and the page of peers compares within rounds."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.guard.__main__ import judged
from benchmarks.peers.report import added, ratios, report
from benchmarks.peers.running import GRPC, VLLM


@pytest.mark.parametrize(("found", "grown"), [(0.5, False), (1.0, False), (1.14, False), (1.16, True), (3.0, True)])
def test_only_growth_beyond_what_a_busy_machine_does_is_told(found: float, grown: bool) -> None:
    ((line, has_grown),) = judged({8: found}, {8: 1.0})
    assert has_grown is grown
    assert line.startswith(f" 8 streams: {found:.2f} of bare AsyncLLM's processor time, expected 1.00")
    assert line.endswith("GROWN" if grown else "ok")


def cell(system: str, turn: int, front: float, vector: float = 0.0) -> dict[str, Any]:
    return {
        "round": turn, "streams": 8, "system": system, "seconds": 2.0, "tokens": 1000.0, "requests": 10,
        "ttft_ms": [10.0, 20.0], "gaps_ms": [48.0] * 50 if system == GRPC else [],
        "cpu_seconds": {"front": front, "vector": vector, "engine": 5.0, "load": 9.0},
        "others_cpu_seconds": 0.2, "output_tokens": [64], "cached_tokens": [192],
    }  # fmt: skip


def test_a_ratio_is_one_rounds_and_neither_engine_nor_load_generator_counts() -> None:
    cells = [cell(GRPC, 0, 0.05, 0.01), cell(VLLM, 0, 0.12), cell(GRPC, 1, 0.2), cell(VLLM, 1, 0.2)]
    assert added(cells[0]) == pytest.approx(0.06)
    assert ratios(cells, GRPC, VLLM, 8) == pytest.approx([0.5, 1.0])
    memory = {GRPC: {"front": 500_000_000, "vector": 80_000_000, "engine": 900_000_000}}
    described = {
        "date": "d", "revision": "r", "changed": False, "cpu": "c", "cores": 2, "memory_gib": 23.5, "system": "s",
        "python": "3", "packages": {}, "load_average": 0.5,
    }  # fmt: skip
    page = report(described, {"rounds": 2}, {"cells": cells, "memory": memory, "starts": {GRPC: 12.3}})
    (row,) = [line for line in page.splitlines() if line.startswith("| 8") and "Trivet, gRPC" in line]
    assert "0.75 (0.50 to 1.00)" in row
    assert "48 / 48" in row
    assert "front 500, vector 80" in page
    assert "12.3" in page
