"""A version replaced in a route under load: no request fails, every answer is that of its receipt's adapter. At last
the server is told to end."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from tests.support.engine.tiny_model import adapter_files
from tests.support.engine.training_base import make_base
from tests.support.gateway.serving import children, metrics, until
from tests.support.processes import cpu_seconds, gone
from tests.support.retrieval.exported_models import with_exports
from trivet.api.v1 import admin_pb2, inference_pb2, receipt_pb2
from trivet.cli.main import main
from trivet.cli.server.process import ServerProcess
from trivet.client import CallFailed, Client
from trivet.testing.adapters import write_adapter

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]

STREAMS = 8
QUESTIONS = [f"What about number {number}?" for number in range(STREAMS)]
VERSIONS = {"one": "tone@1", "two": "tone@2"}


class Served:
    """A server whose one route has one variant, `one` or `two`, by the adapter's version."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.path = folder, folder / "trivet.yaml"
        make_base(folder / "model")
        for seed, ref in enumerate(VERSIONS.values(), start=1):
            write_adapter(folder / "adapters" / ref.replace("@", "/"), adapter_files(seed))
        (folder / "prompts" / "p").mkdir(parents=True)
        (folder / "prompts" / "p" / "1.md").write_text("Answer the question. " * 8)
        (folder / "facts" / "corpus").mkdir(parents=True)
        (folder / "facts" / "index.yaml").write_text("corpus: corpus\n")
        self.write("one")

    def write(self, name: str, **server: Any) -> None:
        """Serve this version next time."""
        variant = {"weight": 1, "backend": "local", "prompt": "p@1", "adapter": VERSIONS[name]}
        data = {
            "version": 1,
            "server": server,
            "backends": {
                "local": {
                    "kind": "embedded", "model": "model", "dtype": "float32", "block_size": 32, "max_model_len": 1024,
                    "kv_cache_memory_bytes": 32 << 20, "max_loras": 2, "max_lora_rank": 8,
                }
            },
            "indexes": {"facts": "facts"},
            "documents": {"max_seconds": 600},
            "routes": {"ask": {"variants": {name: {**variant, "sampling": {"max_tokens": 24}}}}},
        }  # fmt: skip
        draft = self.path.with_suffix(".new")
        draft.write_text(yaml.safe_dump(data))
        draft.replace(self.path)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Served:
    return Served(tmp_path_factory.mktemp("changes"))


@pytest.fixture(scope="module")
def server(served: Served, embedding_cache: Path) -> Iterator[ServerProcess]:
    with ServerProcess(served.path, with_exports(served.folder / "data", embedding_cache)) as process:
        yield process


def answer(client: Client, question: str) -> tuple[str, receipt_pb2.Receipt]:
    """One streamed answer."""
    asked = inference_pb2.GenerateRequest(route="ask", messages=[inference_pb2.Message(role="user", content=question)])
    text = ""
    for event in client.generate_stream(asked):
        text += event.delta.text
    assert text == event.final.text
    return text, event.final.receipt


class Load:
    """Streams, each over and over, and what they were answered."""

    def __init__(self, server: ServerProcess) -> None:
        self._server = server
        self._stop = threading.Event()
        self.answers: list[tuple[str, str, receipt_pb2.Receipt]] = []

    def run(self, question: str) -> None:
        with Client(self._server.target, timeout=60) as client:
            while not self._stop.is_set():
                text, receipt = answer(client, question)
                self.answers.append((question, text, receipt))

    def __enter__(self) -> Load:
        self._pool = ThreadPoolExecutor(STREAMS)
        self._running = [self._pool.submit(self.run, question) for question in QUESTIONS]
        return self

    def __exit__(self, *unused: object) -> None:
        self._stop.set()
        self._pool.shutdown()

    def more(self) -> None:
        """Wait until each stream could have answered again; a failed stream is told at once."""
        goal = len(self.answers) + 2 * STREAMS

        def enough() -> bool:
            for future in self._running:
                if future.done():
                    future.result()
            return len(self.answers) >= goal

        until(enough, 60)

    def check(self) -> None:
        """None of the streams failed."""
        for future in self._running:
            future.result()


def test_a_version_is_replaced_back_and_forth_under_load(served: Served, server: ServerProcess) -> None:
    alone: dict[str, dict[str, str]] = {}
    with Client(server.target, timeout=60) as client:
        for name, ref in VERSIONS.items():
            served.write(name)
            client.reload_routes()
            alone[ref] = {question: answer(client, question)[0] for question in QUESTIONS}
        for question in QUESTIONS:
            assert alone["tone@1"][question] != alone["tone@2"][question]

        with Load(server) as load:
            load.more()
            for name in ("one", "two", "one", "two"):
                served.write(name)
                assert client.reload_routes().differences
                load.more()
            served.write("one")
            os.kill(server.pid, signal.SIGHUP)
            until(lambda: load.answers[-1][2].variant == "one", 60)
            load.more()
        load.check()

        assert len(load.answers) > 10 * STREAMS
        for question, text, receipt in load.answers:
            assert (receipt.code, receipt.adapter) == ("OK", VERSIONS[receipt.variant])
            assert text == alone[receipt.adapter][question]
        assert {receipt.adapter for _, _, receipt in load.answers} == set(VERSIONS.values())
        assert len({receipt.rollout_revision for _, _, receipt in load.answers}) == 6
        # The first request after a flip finds the prefix in the cache: it was primed before.
        assert all(receipt.expected_cached_tokens > 0 for _, _, receipt in load.answers)

        copies = served.folder / "data" / "adapters"
        until(lambda: [path.name.partition("#")[0] for path in copies.iterdir()] == ["tone@1"])
        until(lambda: {item.name: item.engine_name != "" for item in client.list_adapters().adapters} == {
            "tone@1": True, "tone@2": False,
        })  # fmt: skip
    samples = metrics(server)
    resident = {name: value for name, value in samples.items() if name.startswith("trivet_adapter_resident")}
    assert list(resident) == ['trivet_adapter_resident{adapter="tone@1",tier="host"}']
    weights = {name: value for name, value in samples.items() if name.startswith("trivet_rollout_weight")}
    assert weights == {'trivet_rollout_weight{route="ask",variant="one"}': 1.0}


def test_a_refused_configuration_changes_nothing(served: Served, server: ServerProcess) -> None:
    with Client(server.target, timeout=60) as client:
        before = client.list_routes()
        served.write("two", drain_timeout=3.0)
        with pytest.raises(CallFailed, match=r"trivet.yaml:\d+: server.drain_timeout: .*needs a restart") as refused:
            client.reload_routes()
        assert (refused.value.code, refused.value.reason) == ("FAILED_PRECONDITION", "CONFIG_INVALID")
        served.path.write_text("version: 1\nroutes: {")
        with pytest.raises(CallFailed, match=r"not valid YAML"):
            client.reload_routes()
        served.write("two")
        bad = served.folder / "adapters" / "tone" / "2" / "adapter_model.safetensors"
        sound = bad.read_bytes()
        bad.write_bytes(sound[:-1])
        with pytest.raises(CallFailed, match=r"tone@2.*digest") as refused:
            client.reload_routes()
        assert refused.value.reason == "ADAPTER_REJECTED"
        assert client.list_routes() == before
        assert answer(client, QUESTIONS[0])[1].adapter == before.routes[0].variants[0].variant.adapter == "tone@1"
        bad.write_bytes(sound)
        told = CliRunner().invoke(main, ["reload", "--json", "--admin-address", server.target.admin_address])
        assert told.exit_code == 0, told.output
        assert json.loads(told.stdout)["differences"] == [
            "route ask: variant one removed",
            "route ask: variant two added, weight 1",
        ]
        assert answer(client, QUESTIONS[0])[1].adapter == "tone@2"


def busy_parser(server: int) -> int:
    """The splitting process that has a document in hand; another one may stand by."""
    busy: list[int] = []

    def look() -> bool:
        workers = [item.pid for item in children(server) if "passages.process.worker" in item.command]
        busy.extend(pid for pid in workers if cpu_seconds(pid) > 2)
        return bool(busy)

    until(look, 20)
    return busy[0]


def test_sigterm_finishes_what_is_in_flight_and_ends_what_is_parsed(server: ServerProcess) -> None:
    """The last one: the server is gone after it."""
    uploading = ThreadPoolExecutor(1)
    parsed = uploading.submit(upload_what_takes_long, server)
    parser = busy_parser(server.pid)
    message = inference_pb2.Message(role="user", content=QUESTIONS[0])
    with Client(server.target, timeout=60) as client:
        events = client.generate_stream(inference_pb2.GenerateRequest(route="ask", messages=[message], max_tokens=700))
        text = next(events).delta.text
        assert metrics(server)["trivet_requests_in_flight"] == 1
        os.kill(server.pid, signal.SIGTERM)
        told = time.monotonic()
        *deltas, last = events
    assert deltas
    assert last.final.text == text + "".join(event.delta.text for event in deltas)
    assert (last.final.receipt.code, last.final.receipt.output_tokens) == ("OK", 700)
    assert server.wait() == 0
    assert time.monotonic() - told < 25, "not when the document is parsed"
    assert gone(parser)
    with pytest.raises(CallFailed, match=r"UNAVAILABLE|CANCELLED"):
        parsed.result(timeout=10)
    uploading.shutdown()
    assert not (server.data_dir / "server.json").exists()


def upload_what_takes_long(server: ServerProcess) -> None:
    """A document of more than half a minute of CPU time, which its process gets at low priority."""
    document = admin_pb2.Document(id="slow", content=b"- x\n" * 1_000_000, format=admin_pb2.DOCUMENT_FORMAT_MARKDOWN)
    with Client(server.target, timeout=60) as client:
        list(client.upsert_documents([admin_pb2.UpsertDocumentsRequest(index="facts", document=document)]))
