"""Two whole gateways, in processes of their own, over one PostgreSQL; their engines are scripted."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.support.engine.tiny_model import adapter_files
from tests.support.engine.training_base import make_base
from tests.support.gateway.scripted_gateway import UNITS
from tests.support.gateway.serving import until
from tests.support.stores.postgres_server import PostgresServer, postgres_server
from trivet.api.v1 import inference_pb2, receipt_pb2, rollout_pb2
from trivet.cli.server.process import ServerProcess
from trivet.client import Client
from trivet.testing.adapters import write_adapter

MODULE = ("tests.support.gateway.scripted_gateway",)
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

    def reconfigure(self, **sections: Any) -> None:
        """Replace these sections of the configuration, which both take up."""
        path = self.one.folder / "trivet.yaml"
        path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), **sections}))
        for gateway in self:
            gateway.client.reload_routes()

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


@contextmanager
def two_gateways(folder: Path) -> Iterator[Pair]:
    """Both are up, and the rollout is pending. `folder`: for the project and for what they keep."""
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
