"""A rollout's shadow on a real engine: copies lead to the first step by themselves, on an account of their own."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.engine.tiny_model import adapter_files
from tests.support.engine.training_base import make_base
from tests.support.gateway.serving import metrics, total
from trivet.api.v1 import inference_pb2, rollout_pb2
from trivet.cli.server.process import ServerProcess
from trivet.client import Client
from trivet.metering.receipt_log import from_json
from trivet.rollouts.agreement import agreement_of
from trivet.testing.adapters import write_adapter
from trivet.types.receipt import Receipt

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]

SCHEMA = {"enum": ["yes", "no"]}
UNITS = 60
SHADOWED = {
    "stable": "one", "steps": ["50%"], "minimum_time": "1h", "soak": "2s", "silence": "30m",
    "shadow": {"time": "1s", "share": 1.0, "max_running": 2, "load": 0.5},
}  # fmt: skip


def _config() -> dict[str, Any]:
    """Two routes: the candidate of `equal` is told the same in another prompt, that of `other` answers in no form."""
    common: dict[str, Any] = {"backend": "local", "prompt": "p@1", "sampling": {"max_tokens": 8}}
    one = {**common, "adapter": "tone@1", "json_schema": SCHEMA}
    agreement = {"shadow_agreement": {"tolerance": 0.2}}
    error = {"error": {"margin": 0.1}, "format": {"margin": 0.1}}
    equal = {"one": one, "two": {**one, "prompt": "p@2"}}
    other = {"one": one, "two": {**common, "adapter": "tone@2"}}
    return {
        "version": 1,
        "backends": {
            "local": {
                "kind": "embedded", "model": "model", "dtype": "float32", "block_size": 32, "max_model_len": 1024,
                "kv_cache_memory_bytes": 32 << 20, "max_loras": 2, "max_lora_rank": 8,
            }
        },
        "prices": {
            "local": {
                "input_per_million_tokens": 1.0, "cached_per_million_tokens": 0.1, "output_per_million_tokens": 2.0,
            }
        },
        "routes": {
            "equal": {"variants": equal, "rollout": {**SHADOWED, "candidate": "two", "guardrails": error}},
            "other": {
                "variants": other, "rollout": {**SHADOWED, "candidate": "two", "guardrails": {**error, **agreement}},
            },
        },
    }  # fmt: skip


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ServerProcess, Client, Path]]:
    folder = tmp_path_factory.mktemp("shadow")
    make_base(folder / "model")
    for seed, version in enumerate(("1", "2"), start=1):
        write_adapter(folder / "adapters" / "tone" / version, adapter_files(seed))
    (folder / "prompts" / "p").mkdir(parents=True)
    (folder / "prompts" / "p" / "1.md").write_text("Answer the question. " * 8)
    (folder / "prompts" / "p" / "2.md").write_text("Answer the question. " * 8 + "\n")
    (folder / "trivet.yaml").write_text(yaml.safe_dump(_config()))
    with (
        ServerProcess(folder / "trivet.yaml", folder / "data") as process,
        Client(process.target, timeout=120) as client,
    ):
        yield process, client, folder / "data"


def run(client: Client, route: str) -> tuple[rollout_pb2.Rollout, int]:
    """Start the route's rollout, and let all units ask until it leaves the shadow; how many requests that took."""
    client.rollouts.start(route, "the test")
    end, asked = time.monotonic() + 400, 0
    before = {rollout_pb2.ROLLOUT_STATE_WARMING, rollout_pb2.ROLLOUT_STATE_SHADOW}

    def ask(number: int) -> None:
        message = inference_pb2.Message(role="user", content=f"Is {number} even?")
        request = inference_pb2.GenerateRequest(route=route, messages=[message], unit_id=f"unit-{number % UNITS}")
        client.generate(request)

    with ThreadPoolExecutor(2) as pool:
        while client.rollouts.get(route).state in before:
            assert time.monotonic() < end, client.rollouts.get(route)
            list(pool.map(ask, range(asked, asked + 10)))
            asked += 10
            time.sleep(0.2)
    return client.rollouts.get(route), asked


def receipts(data: Path, route: str, until: int) -> list[Receipt]:
    """All of a route, once there are so many that are no copies."""
    end = time.monotonic() + 20
    while True:
        lines = (data / "receipts.jsonl").read_bytes().splitlines()
        found = [one for one in map(from_json, map(json.loads, lines)) if one.route == route]
        if sum(not one.shadow for one in found) >= until:
            return found
        assert time.monotonic() < end
        time.sleep(0.05)


def check_pairs(copies: list[Receipt], real: dict[str, Receipt]) -> None:
    """Each copy that was compared is of a request that was answered, and its agreement is what both receipts say."""
    pairs = [copy for copy in copies if copy.shadow_pair is not None]
    assert len(pairs) >= 30
    for copy in pairs:
        pair = copy.shadow_pair
        assert pair is not None
        original = real[pair.request_id]
        assert (original.variant, original.code, copy.variant) == ("one", "OK", "two")
        assert (copy.tenant, copy.unit_hash, copy.text_hash) == (
            original.tenant, original.unit_hash, original.text_hash,
        )  # fmt: skip
        assert pair.format_valid == original.format_valid
        assert pair.agreement == agreement_of(
            equal=pair.equal, length_ratio=pair.length_ratio, real_format_valid=original.format_valid,
            format_valid=copy.format_valid,
        )  # fmt: skip


@pytest.mark.parametrize(("route", "end"), [("equal", "CANARY"), ("other", "ROLLED_BACK")])
def test_copies_decide_before_any_unit_has_the_candidate(
    served: tuple[ServerProcess, Client, Path], route: str, end: str
) -> None:
    process, client, data = served
    rollout, asked = run(client, route)
    assert rollout.state == rollout_pb2.RolloutState.Value(f"ROLLOUT_STATE_{end}"), rollout.last_transition.message
    events = [entry.event for entry in client.rollouts.transitions(route)]
    assert events == ["create", "start", "begin_shadow", "begin_canary" if end == "CANARY" else "rollback"]
    log = receipts(data, route, asked)
    copies = [one for one in log if one.shadow]
    real = {one.request_id: one for one in log if not one.shadow}
    check_pairs(copies, real)
    shadowed = [one for one in real.values() if one.rollout_step in (-1, None)]
    assert {one.variant for one in shadowed} == {"one"}, "no unit had the candidate before the first step"
    samples = metrics(process)
    cost = sum(one.cost.total or 0 for one in copies) / 1e9
    assert total(samples, f'trivet_shadow_cost_usd_total{{component="input",route="{route}"') > 0
    told = sum(
        value
        for name, value in samples.items()
        if name.startswith("trivet_shadow_cost_usd_total") and f'route="{route}"' in name
    )
    assert told == pytest.approx(cost)
    outcomes = {name: value for name, value in samples.items() if name.startswith("trivet_shadow_total")}
    assert sum(value for name, value in outcomes.items() if f'route="{route}"' in name) <= asked
    assert samples[f'trivet_shadow_total{{outcome="compared",route="{route}"}}'] >= 30
