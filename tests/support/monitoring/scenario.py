"""A gateway's eventful life under a real Prometheus: load, churn of adapters, outages, restarts, a reload, rollouts."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import yaml

from tests.support.gateway.serving import child, engine, metrics, total, until
from tests.support.monitoring.queries import ROOT, RULES
from tests.support.prometheus import Prometheus, prometheus
from trivet.api.v1 import inference_pb2, rollout_pb2
from trivet.cli.server.process import ServerProcess
from trivet.client import CallFailed, Client

INTERVAL = 1  # seconds between two scrapes, and two evaluations of a rule
PATIENCE = 300.0  # seconds for what takes as long as the machine is busy
DEATHS = 6  # of the vector process in a row: after the last it is away for three seconds, which a scrape cannot miss
UNITS = 400
QUESTION = "What is the range of the Orlo Hub?"
STOPPED = {
    rollout_pb2.ROLLOUT_STATE_PROMOTED, rollout_pb2.ROLLOUT_STATE_ROLLED_BACK, rollout_pb2.ROLLOUT_STATE_CANCELLED,
    rollout_pb2.ROLLOUT_STATE_HALTED,
}  # fmt: skip
GUARDRAILS = {"error": {"margin": "5%", "required": True}}


def write_config(folder: Path) -> Path:
    """The demo's configuration with a shadow, a rollout that nobody asks, and copies of what the scenario changes."""
    for name in ("indexes", "models", "prompts"):
        (folder / name).symlink_to(ROOT / name)
    shutil.copytree(ROOT / "adapters", folder / "adapters")
    for version in ("98", "99"):
        copy = folder / "adapters" / "json-answer" / version
        shutil.copytree(folder / "adapters" / "json-answer" / "1", copy)
        manifest = yaml.safe_load((copy / "adapter.yaml").read_text())
        (copy / "adapter.yaml").write_text(yaml.safe_dump({**manifest, "version": version}))
    weights = next(copy.glob("*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:-8])
    config = yaml.safe_load((ROOT / "trivet.yaml").read_text())
    config["routes"]["tickets"]["rollout"] |= {"shadow": {"time": "2s", "share": 1}, "steps": ["50%"]}
    quiet = yaml.safe_load(yaml.safe_dump(config["routes"]["tickets"]))
    quiet["rollout"] = {
        "stable": "sorter", "candidate": "sorter-2", "start": "automatic", "steps": ["50%"], "silence": "2s",
        "guardrails": GUARDRAILS,
    }  # fmt: skip
    config["routes"]["quiet"] = quiet
    config["routes"]["support"]["drift"] = {"reference": 100, "unanswered": ["I do not know"]}
    config["routes"]["support-private"]["variants"]["rag"]["retrieval"]["confidence"] = {
        "below": 0.99, "answer": "I do not know"
    }  # fmt: skip
    config["index_prices"] = {"handbook": {"embedding_per_million_tokens": 0.02}}
    config["budgets"] = {"default": [{"per": "day", "requests": 1_000_000}]}
    for route in config["routes"].values():
        if "retrieval" in route:
            route["retrieval"]["deadline_ms"] = 1000
    path = folder / "trivet.yaml"
    path.write_text(yaml.safe_dump(config, sort_keys=False))
    return path


@contextmanager
def watching(server: ServerProcess, folder: Path) -> Iterator[Prometheus]:
    """A Prometheus that scrapes it, with the project's rules evaluated as often as it scrapes."""
    (folder / "rules").mkdir()
    for path in RULES:
        (folder / "rules" / path.name).write_text(path.read_text().replace("interval: 30s", f"interval: {INTERVAL}s"))
    config = {
        "global": {"scrape_interval": f"{INTERVAL}s", "evaluation_interval": f"{INTERVAL}s"},
        "rule_files": ["rules/*.yml"],
        "scrape_configs": [{"job_name": "trivet", "static_configs": [{"targets": [server.metrics_address]}]}],
    }
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    with prometheus(folder / "prometheus.yml", folder / "prometheus") as running:
        yield running


@dataclass
class Scenario:
    """What happens, one thing after the other. `ended`: how requests ended, by code."""

    server: ServerProcess
    client: Client
    ended: Counter[str] = field(default_factory=Counter)

    def play(self) -> None:
        """All of it; some two minutes on two cores."""
        self.load()
        self.mistakes()
        self.churn()
        self.reload()
        self.retrieval_outage()
        self.rollout("support-form", rollout_pb2.ROLLOUT_STATE_ROLLED_BACK)
        self.rollout("tickets", rollout_pb2.ROLLOUT_STATE_PROMOTED)
        self.spoil()
        self.engine_killed()
        self.load()
        self.limit()

    def ask(self, route: str, number: int = 0, **fields: object) -> inference_pb2.GenerateResponse | None:
        """One request; None if it failed."""
        message = inference_pb2.Message(role="user", content=f"{QUESTION} ({number})")
        asked = inference_pb2.GenerateRequest(route=route, messages=[message], unit_id=f"unit-{number}", **fields)  # type: ignore[arg-type]
        try:
            answer = self.client.generate(asked)
        except CallFailed as failed:
            self.ended[str(failed.code)] += 1
            return None
        self.ended["OK"] += 1
        return answer

    def ask_all(self, routes: Sequence[str], numbers: Sequence[int]) -> None:
        """Each of these units on each of these routes, eight at a time."""
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda pair: self.ask(*pair), [(route, number) for number in numbers for route in routes]))

    def load(self) -> None:
        """Requests of every kind, feedback, schemas that are new, and vectors."""
        self.ask_all(("support", "support-json", "support-private", "tickets"), range(25))
        answer = self.ask("support")
        assert answer is not None
        self.client.submit_feedback(answer.receipt.request_id, score=1.0)
        asked = inference_pb2.GenerateRequest(
            route="support", messages=[inference_pb2.Message(role="user", content=QUESTION)], max_tokens=40
        )
        name = f"n{sum(self.ended.values())}"
        asked.json_schema.update({"type": "object", "properties": {name: {"type": "integer"}}, "required": [name]})
        self.client.generate(asked)
        vectors = {"model": "handbook", "input": QUESTION}
        httpx.post(f"http://{self.server.http_address}/v1/embeddings", json=vectors, timeout=60).raise_for_status()

    def mistakes(self) -> None:
        """What clients do wrong: an unknown route, a prompt that is too long, a deadline that is too short, leaving."""
        self.ask("nowhere")
        self.ask("support", max_tokens=10**9)
        self.ask("support", stop=[""])
        message = inference_pb2.Message(role="user", content="word " * 300)
        asked = inference_pb2.GenerateRequest(route="tickets", messages=[message], max_tokens=1024)
        for seconds in (0.001, 0.02):
            with suppress(CallFailed):
                self.client.generate(asked, timeout=seconds)
        stream = self.client._inference.GenerateStream(asked, timeout=60)
        next(stream)
        stream.cancel()

    def churn(self) -> None:
        """Adapters loaded and unloaded, and one that is refused."""
        for _ in range(3):
            self.client.load_adapter("ticket-sorter@2")
            with suppress(CallFailed):
                self.client.unload_adapter("ticket-sorter@2")
        with suppress(CallFailed):
            self.client.load_adapter("json-answer@99")

    def spoil(self) -> None:
        """An adapter that an operator loaded is gone, source and copy: the next engine cannot have it."""
        self.client.load_adapter("json-answer@98")
        shutil.rmtree(self.server.config.parent / "adapters" / "json-answer" / "98")
        for copy in (self.server.data_dir / "adapters").glob("json-answer@98*"):
            shutil.rmtree(copy)

    def reload(self) -> None:
        """A route gets another variant."""

        def change(config: dict[str, Any]) -> None:
            variants = config["routes"]["support"]["variants"]
            variants["longer"] = {**variants["rag"], "sampling": {"max_tokens": 64}}

        self._change(change)

    def limit(self) -> None:
        """Everybody has had enough for today."""

        def change(config: dict[str, Any]) -> None:
            config["budgets"] = {"default": [{"per": "day", "requests": 1}]}

        self._change(change)
        self.ended.clear()
        self.ask_all(("support",), range(20))
        assert self.ended["RESOURCE_EXHAUSTED"] == 20, self.ended

    def _change(self, change: Callable[[dict[str, Any]], None]) -> None:
        path = self.server.config
        config = yaml.safe_load(path.read_text())
        change(config)
        path.write_text(yaml.safe_dump(config, sort_keys=False))
        self.client.reload_routes()

    def retrieval_outage(self) -> None:
        """The vector process hangs and then dies, again and again; one route degrades, another one refuses."""
        pid = child(self.server.pid, "trivet.vector")
        os.kill(pid, signal.SIGSTOP)
        self.ask("support")
        self.ask("support-json")
        for deaths in range(1, DEATHS + 1):
            os.kill(pid, signal.SIGKILL)
            self.ask("support")
            until(lambda: total(metrics(self.server), "trivet_vector_engine_restarts_total") >= deaths, PATIENCE)  # noqa: B023
            pid = child(self.server.pid, "trivet.vector")
        self._until_answered("support-json")

    def rollout(self, route: str, end: int) -> None:
        """Start it and let units ask until it has stopped there."""
        self.client.rollouts.start(route, "the scenario")
        until_then, asked = time.monotonic() + PATIENCE, 0
        while (found := self.client.rollouts.get(route)).state not in STOPPED:
            assert time.monotonic() < until_then, found
            if found.state == rollout_pb2.ROLLOUT_STATE_SHADOW:  # its copies give way to requests
                self.ask(route, asked % UNITS)
                time.sleep(0.3)
                asked += 1
            else:
                self.ask_all((route,), [(asked + number) % UNITS for number in range(40)])
                asked += 40
        assert found.state == end, found.last_transition.message

    def engine_killed(self) -> None:
        """In the middle of requests; it comes back by itself."""
        with ThreadPoolExecutor(4) as pool:
            asked = [pool.submit(self.ask, "support-json", number) for number in range(20)]
            os.kill(engine(self.server, "local"), signal.SIGKILL)
            for one in asked:
                one.result()
        self._until_answered("support-json")

    def _until_answered(self, route: str) -> None:
        until(lambda: self.ask(route) is not None, PATIENCE)
