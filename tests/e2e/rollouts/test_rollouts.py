"""Rollouts on a real engine, 500 units at 50%: a candidate that breaks its JSON goes back, an equal one is promoted."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import yaml

from tests.support.engine.tiny_model import adapter_files
from tests.support.engine.training_base import make_base
from trivet.api.v1 import inference_pb2, receipt_pb2, rollout_pb2
from trivet.cli.server.process import ServerProcess
from trivet.client import Client
from trivet.rollouts.control.audit import repeat
from trivet.testing.adapters import write_adapter
from trivet.types.rollout_state import Transition

pytestmark = [pytest.mark.engine, pytest.mark.timeout(1200)]

UNITS = 500
COLD = 20  # requests of a variant after its warm-up
SCHEMA = {"enum": ["yes", "no"]}
ENDED = {rollout_pb2.ROLLOUT_STATE_PROMOTED, rollout_pb2.ROLLOUT_STATE_ROLLED_BACK, rollout_pb2.ROLLOUT_STATE_CANCELLED}
STOPPED = ENDED | {rollout_pb2.ROLLOUT_STATE_HALTED}
ROLLOUT = {
    "stable": "one", "candidate": "two", "steps": ["50%"], "minimum_time": "1s", "soak": "2s", "silence": "10m",
    "guardrails": {"format": {"margin": 0.1}, "error": {"margin": 0.1}},
}  # fmt: skip


def _route(candidate: dict[str, Any]) -> dict[str, Any]:
    variant = {"backend": "local", "prompt": "p@1", "sampling": {"max_tokens": 8}}
    variants = {
        "one": {**variant, "adapter": "tone@1", "json_schema": SCHEMA},
        "two": {**variant, "adapter": "tone@2", **candidate},
    }
    return {"variants": variants, "rollout": ROLLOUT}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """Of a server with two routes: the candidate of `equal` answers as stable does, that of `broken` in no form."""
    folder = tmp_path_factory.mktemp("rollouts")
    make_base(folder / "model")
    for seed, version in enumerate(("1", "2"), start=1):
        write_adapter(folder / "adapters" / "tone" / version, adapter_files(seed))
    (folder / "prompts" / "p").mkdir(parents=True)
    (folder / "prompts" / "p" / "1.md").write_text("Answer the question. " * 8)
    (folder / "trivet.yaml").write_text(yaml.safe_dump({
        "version": 1,
        "backends": {
            "local": {
                "kind": "embedded", "model": "model", "dtype": "float32", "block_size": 32, "max_model_len": 1024,
                "kv_cache_memory_bytes": 32 << 20, "max_loras": 2, "max_lora_rank": 8,
            }
        },
        "routes": {"equal": _route({"json_schema": SCHEMA}), "broken": _route({})},
    }))  # fmt: skip
    with (
        ServerProcess(folder / "trivet.yaml", folder / "data") as process,
        Client(process.target, timeout=120) as opened,
    ):
        yield opened


def run(client: Client, route: str) -> tuple[rollout_pb2.Rollout, list[receipt_pb2.Receipt]]:
    """Start the route's rollout, and let all units ask until it has stopped."""
    client.rollouts.start(route, "the test")
    end = time.monotonic() + 600
    while client.rollouts.get(route).state != rollout_pb2.ROLLOUT_STATE_CANARY:
        assert time.monotonic() < end, client.rollouts.get(route)
        time.sleep(0.2)

    def ask(number: int) -> receipt_pb2.Receipt:
        message = inference_pb2.Message(role="user", content=f"Is {number} even?")
        asked = inference_pb2.GenerateRequest(route=route, messages=[message], unit_id=f"unit-{number % UNITS}")
        return client.generate(asked).receipt

    receipts: list[receipt_pb2.Receipt] = []
    with ThreadPoolExecutor(8) as pool:
        while client.rollouts.get(route).state not in STOPPED:
            assert time.monotonic() < end, client.rollouts.get(route)
            receipts += pool.map(ask, range(len(receipts), len(receipts) + 50))
    return client.rollouts.get(route), receipts


def entries(client: Client, route: str) -> list[Transition]:
    """The audit log as the contract gives it."""
    return [
        Transition(
            rollout=entry.rollout, route=entry.route, revision=entry.revision, fence=entry.fence, at=0.0,
            event=entry.event, from_state=str(entry.from_state), to_state=str(entry.to_state),
            from_step=entry.from_step, to_step=entry.to_step, share=entry.share, reason=entry.reason,
            message=entry.message, actor=entry.actor, evidence=entry.evidence,
        )
        for entry in client.rollouts.transitions(route)
    ]  # fmt: skip


def check_story(log: list[Transition], events: list[str]) -> None:
    """These events, and each decision can be made again from its entry."""
    assert [entry.event for entry in log] == events
    for entry in log:
        if entry.fence:
            again = repeat(entry)
            assert again.event is not None
            assert (again.event.value, again.reason.value, again.message) == (entry.event, entry.reason, entry.message)


def check_warm(receipts: list[receipt_pb2.Receipt]) -> None:
    """The candidate's prefix was computed and its adapter there before its first request; later ones are not cold."""
    candidate = [receipt for receipt in receipts if receipt.variant == "two"]
    assert len(candidate) > COLD
    assert all(receipt.expected_cached_tokens > 0 for receipt in candidate)
    assert all(receipt.cached_tokens >= receipt.expected_cached_tokens for receipt in candidate)
    assert sum(receipt.cold for receipt in candidate) == COLD


def test_a_candidate_that_breaks_its_json_is_rolled_back_by_itself(client: Client) -> None:
    rollout, receipts = run(client, "broken")
    assert rollout.state == rollout_pb2.ROLLOUT_STATE_ROLLED_BACK
    log = entries(client, "broken")
    check_story(log, ["create", "start", "begin_canary", "rollback"])
    assert log[-1].reason == "guardrail_crossed"
    assert log[-1].message.startswith("format:")
    check_warm(receipts)
    message = inference_pb2.Message(role="user", content="And now?")
    for number in range(20):
        asked = inference_pb2.GenerateRequest(route="broken", messages=[message], unit_id=f"unit-{number}")
        assert client.generate(asked).receipt.variant == "one"


def test_an_equal_adapter_is_promoted_after_its_soak(client: Client) -> None:
    rollout, receipts = run(client, "equal")
    assert rollout.state == rollout_pb2.ROLLOUT_STATE_PROMOTED, rollout.last_transition.message
    check_story(entries(client, "equal"), ["create", "start", "begin_canary", "promote", "finish"])
    check_warm(receipts)
    variants: dict[str, set[str]] = {}
    for receipt in receipts:
        if receipt.rollout_step == 0:
            variants.setdefault(receipt.unit_hash, set()).add(receipt.variant)
    assert len(variants) > UNITS / 4
    assert all(len(seen) == 1 for seen in variants.values()), "a unit keeps its variant in a step"
