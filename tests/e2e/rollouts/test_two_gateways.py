"""Two whole gateways, in processes of their own, over one PostgreSQL: one state, seen by both."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.engine.tiny_model import adapter_files
from tests.support.engine.training_base import make_base
from tests.support.gateway.scripted_gateway import UNITS
from tests.support.gateway.serving import until
from tests.support.stores.postgres_server import PostgresServer, postgres_server
from trivet.api.v1 import inference_pb2, receipt_pb2, rollout_pb2
from trivet.cli.server.process import ServerProcess
from trivet.client import CallFailed, Client
from trivet.testing.adapters import write_adapter

pytestmark = [pytest.mark.process, pytest.mark.timeout(1200)]

MODULE = ("tests.support.gateway.scripted_gateway",)
WITHIN = 1.0  # seconds, the promise
AWAY = 20.0  # seconds
SHARES = (0.05, 0.25, 0.5)
ROLLOUT = {
    "stable": "old", "candidate": "new", "steps": list(SHARES), "minimum_time": "1d", "silence": "1d",
    "guardrails": {"error": {"margin": 0.1}},
}  # fmt: skip


@dataclass
class Gateway:
    """One of the two, which can be killed and started again."""

    folder: Path
    name: str
    told: int = 0
    stack: ExitStack = field(default_factory=ExitStack)

    def start(self) -> None:
        os.environ["ASSIGNED"] = str(self.folder / self.name)
        (self.folder / self.name).mkdir(exist_ok=True)
        process = ServerProcess(self.folder / "trivet.yaml", self.folder / f"data-{self.name}", module=MODULE)
        self.process = self.stack.enter_context(process)
        self.client = self.stack.enter_context(Client(self.process.target, timeout=30))

    def kill(self) -> None:
        """As a machine that loses its power does."""
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()
        with suppress(Exception):
            self.stack.close()
        self.stack, self.told = ExitStack(), 0
        for path in (self.folder / self.name).glob("assigned-*"):
            path.unlink()

    def ask_all(self) -> None:
        """How it gives all units their variants, once it has been asked."""
        self.told += 1
        os.kill(self.process.pid, signal.SIGUSR1)

    def assigned(self) -> dict[str, Any]:
        path = self.folder / self.name / f"assigned-{self.told}.json"
        until(path.exists, 120)
        told: dict[str, Any] = json.loads(path.read_text())
        return told

    def answer(self, unit: str) -> receipt_pb2.Receipt:
        message = inference_pb2.Message(role="user", content=f"What about {unit}?")
        return self.client.generate(
            inference_pb2.GenerateRequest(route="ask", messages=[message], unit_id=unit)
        ).receipt

    def rollout(self) -> rollout_pb2.Rollout:
        return self.client.rollouts.get("ask")


@dataclass
class Pair:
    one: Gateway
    two: Gateway
    postgres: PostgresServer

    def __iter__(self) -> Iterator[Gateway]:
        return iter((self.one, self.two))

    def assigned(self) -> tuple[int, str]:
        """The revision and every unit's variant, the same on both gateways."""
        for gateway in self:
            gateway.ask_all()
        one, two = (gateway.assigned() for gateway in self)
        assert (one["revision"], one["digest"]) == (two["revision"], two["digest"])
        assert len(one["given"]) == UNITS
        return one["revision"], one["given"]

    def begin(self, step: int) -> rollout_pb2.Rollout:
        """A new rollout at this step, which both serve."""
        rollouts = self.one.client.rollouts
        rollouts.start("ask", "the test", restart=self.one.rollout().state != rollout_pb2.ROLLOUT_STATE_PENDING)
        until(lambda: self.one.rollout().state == rollout_pb2.ROLLOUT_STATE_CANARY, 60)
        for _ in range(step):
            rollouts.advance("ask", "the test")
        self.both_serve(self.one.rollout().revision)
        return self.one.rollout()

    def both_serve(self, revision: int) -> None:
        until(lambda: all(gateway.answer("any").rollout_revision >= revision for gateway in self), 30)

    def units_of(self, variant: str, count: int) -> list[str]:
        """Units that have it now."""
        found: list[str] = []
        for number in range(UNITS):
            if len(found) == count:
                break
            unit = f"user-{number}"
            if self.two.answer(unit).variant == variant:
                found.append(unit)
        return found


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    folder = tmp_path_factory.mktemp("two-gateways")
    make_base(folder / "model")
    for seed, (name, version) in enumerate((("tone", "1"), ("tone", "2"), ("slow", "1"))):
        write_adapter(folder / "adapters" / name / version, adapter_files(seed))
    (folder / "prompts" / "p").mkdir(parents=True)
    (folder / "prompts" / "p" / "1.md").write_text("Answer the question. " * 8)
    variant = {"backend": "local", "prompt": "p@1", "sampling": {"max_tokens": 8}}
    variants = {"old": {**variant, "adapter": "tone@1"}, "new": {**variant, "adapter": "tone@2"}}
    engine = {"kind": "embedded", "model": "model", "max_loras": 2, "max_lora_rank": 8}
    with postgres_server() as server:
        (folder / "trivet.yaml").write_text(yaml.safe_dump({
            "version": 1,
            "state": {"url": server.new_database(), "cut_off_after": "10m"},
            "backends": {"local": {**engine, "kv_cache_memory_bytes": 32 << 20}},
            "routes": {"ask": {"variants": variants, "rollout": ROLLOUT}},
        }))  # fmt: skip
        gateways = [Gateway(folder, name) for name in ("one", "two")]
        try:
            for gateway in gateways:
                gateway.start()
            yield Pair(gateways[0], gateways[1], server)
        finally:
            for gateway in gateways:
                gateway.stack.close()


def test_every_unit_has_the_same_variant_on_both_and_switches_once(pair: Pair) -> None:
    before = pair.begin(0).revision
    revision, given = pair.assigned()
    assert revision == before
    seen = [given]
    for share in SHARES[1:]:
        assert abs(seen[-1].count("n") / UNITS - SHARES[len(seen) - 1]) < 0.01
        pair.two.client.rollouts.advance("ask", "the test")
        pair.both_serve(pair.two.rollout().revision)
        revision, given = pair.assigned()
        assert revision == pair.one.rollout().revision
        assert pair.one.rollout().share == share
        seen.append(given)
    pair.two.kill()
    pair.two.start()
    pair.both_serve(revision)
    again, given = pair.assigned()
    assert (again, given == seen[-1]) == (revision, True), "killed and started again"
    switches = [sum(one != two for one, two in pairwise(units)) for units in zip(*seen, strict=True)]
    assert max(switches) == 1
    assert all(units == tuple(sorted(units, reverse=True)) for units in zip(*seen, strict=True)), "never back to stable"
    pair.one.client.rollouts.rollback("ask", "the test")
    pair.both_serve(pair.one.rollout().revision)
    assert set(pair.assigned()[1]) == {"o"}


def test_a_rollback_is_seen_by_both_in_time_while_one_loads_an_adapter(pair: Pair) -> None:
    loading = threading.Thread(target=_load_slow, args=(pair.one.client,), daemon=True)
    loading.start()
    until(lambda: any(one.name == "slow@1" for one in pair.one.client.list_adapters().adapters), 30)
    times = []
    for _ in range(3):
        pair.begin(2)
        unit, *_ = pair.units_of("new", 1)
        assert [gateway.answer(unit).variant for gateway in pair] == ["new", "new"]
        began = time.monotonic()
        after = pair.two.client.rollouts.rollback("ask", "complaints").revision
        while [gateway.answer(unit).rollout_revision for gateway in pair] != [after, after]:
            assert time.monotonic() - began < 30
        times.append(time.monotonic() - began)
        receipts = [gateway.answer(unit) for gateway in pair]
        assert [(one.variant, one.rollout_revision) for one in receipts] == [("old", after)] * 2
    assert min(times) < WITHIN, times
    assert loading.is_alive(), "it still loads"


def _load_slow(client: Client) -> None:
    with suppress(CallFailed):  # the client's deadline, or the end of the test
        client.load_adapter("slow@1")


def test_without_the_store_both_serve_on_and_a_rollback_by_hand_works(pair: Pair) -> None:
    pair.begin(2)
    unit, *_ = pair.units_of("new", 1)
    pair.postgres.stop(signal.SIGQUIT)
    try:
        with ThreadPoolExecutor(2) as pool:
            served = [pool.submit(_served_for, gateway, AWAY) for gateway in pair]
            time.sleep(AWAY / 4)
            pair.one.client.rollouts.rollback("ask", "complaints")
            assert pair.one.answer(unit).variant == "old", "at once, on the gateway that was asked"
            assert pair.two.answer(unit).variant == "new", "which the other one cannot know of"
            assert all(future.result() > 20 for future in served)
    finally:
        pair.postgres.start()
    until(lambda: all(gateway.answer(unit).variant == "old" for gateway in pair), 30)
    until(lambda: all(one.rollout().state == rollout_pb2.ROLLOUT_STATE_ROLLED_BACK for one in pair), 30)
    last = [*pair.two.client.rollouts.transitions("ask")][-1]
    assert last.event == "rollback"
    assert "while the state store was away" in last.message


def _served_for(gateway: Gateway, seconds: float) -> int:
    """How many requests were answered; one that is not raises."""
    end, count = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        gateway.answer(f"user-{count % 50}")
        count += 1
    return count


def test_a_store_that_was_away_is_a_hole_that_halts(pair: Pair) -> None:
    pair.begin(2)
    before = [gateway.answer("user-1").variant for gateway in pair]
    pair.postgres.stop(signal.SIGQUIT)
    try:
        time.sleep(AWAY)
    finally:
        pair.postgres.start()
    until(lambda: pair.one.rollout().state == rollout_pb2.ROLLOUT_STATE_HALTED, 60)
    assert pair.one.rollout().last_transition.reason == "data_hole"
    assert "the state store was away" in pair.one.rollout().last_transition.message
    pair.both_serve(pair.one.rollout().revision)
    assert [gateway.answer("user-1").variant for gateway in pair] == before, "a halt leaves the shares as they are"
    pair.two.client.rollouts.rollback("ask", "the test")


def test_the_audit_log_of_both_is_one(pair: Pair) -> None:
    logs = [[*gateway.client.rollouts.transitions("ask")] for gateway in pair]
    assert logs[0] == logs[1]
    revisions = [entry.revision for entry in logs[0]]
    assert len(revisions) == len(set(revisions))
    assert revisions == sorted(revisions)
