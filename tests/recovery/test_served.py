"""`trivet backup`, `restore` and `doctor` beside a real server that is written to, each of them killed at several
moments."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType

import pytest
import yaml

from tests.support.gateway.serving import until
from tests.support.retrieval.exported_models import with_exports
from trivet.api.v1 import admin_pb2, inference_pb2
from trivet.cli.server.process import ServerProcess
from trivet.client import CallFailed, Client

pytestmark = [pytest.mark.engine, pytest.mark.embedding, pytest.mark.timeout(1200)]

ROOT = Path(__file__).parents[2]
INDEX = "notes"
DEEP = "d" * 60  # the data folder's path is longer than a socket's may be
PADDING = 48 << 20  # bytes of an old request log: a copy of it takes long enough to be killed in
CONFIG = {
    "version": 1,
    "prompts": str(ROOT / "prompts"),
    "backends": {
        "local": {
            "kind": "embedded", "model": str(ROOT / "models/demo/weights"), "dtype": "float32", "block_size": 32,
            "max_model_len": 2048, "kv_cache_memory_bytes": 64 << 20, "enable_lora": False,
        }
    },
    "indexes": {INDEX: INDEX},
    "routes": {
        "ask": {
            "retrieval": {"deadline_ms": 5000, "on_failure": "fail"},
            "variants": {
                "only": {
                    "weight": 1, "backend": "local", "prompt": "support@1", "sampling": {"max_tokens": 8},
                    "retrieval": {"index": INDEX, "top_k": 3, "duplicates": "keep"},
                }
            },
        }
    },
}  # fmt: skip


def text(number: int) -> str:
    return f"Shelf {number} holds the crate of vendor number{number}x and nothing else."


class Writer:
    """Adds one document after the other; `acknowledged` of them, the first ones, are safe."""

    def __init__(self, server: ServerProcess, begin: int) -> None:
        self.acknowledged = begin
        self._client = Client(server.target, timeout=60)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._write)

    def __enter__(self) -> Writer:
        self._thread.start()
        until(self.another(), 60)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._client.close()

    def another(self) -> Callable[[], bool]:
        """Becomes true when one more is acknowledged."""
        before = self.acknowledged
        return lambda: self.acknowledged > before

    def _write(self) -> None:
        while not self._stop.is_set():
            try:
                self._add(self.acknowledged)
            except CallFailed:  # the server was killed
                return
            self.acknowledged += 1
            time.sleep(0.1)  # each of them is searched for in the end

    def _add(self, number: int) -> None:
        document = admin_pb2.Document(
            id=f"shelf{number}", content=text(number).encode(), format=admin_pb2.DOCUMENT_FORMAT_TEXT
        )
        request = admin_pb2.UpsertDocumentsRequest(index=INDEX, document=document)
        for _ in self._client.upsert_documents(iter([request])):
            pass


def trivet(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "trivet.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def killed_when(condition: Callable[[], bool], *arguments: str | Path) -> None:
    """Start a command, and kill it as soon as the condition holds."""
    process = subprocess.Popen(
        [sys.executable, "-m", "trivet.cli", *map(str, arguments)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while not condition():
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.0005)
    process.kill()
    assert process.wait() == -signal.SIGKILL


def has(path: Path, size: int = 0) -> Callable[[], bool]:
    """The file or folder is there, with so many bytes at least."""

    def there() -> bool:
        try:
            return path.stat().st_size >= size
        except FileNotFoundError:
            return False

    return there


def documents(client: Client) -> int:
    return sum(index.documents for index in client.list_indexes().indexes if index.name == INDEX)


def found(client: Client, number: int) -> list[str]:
    """The three documents that a search for the text of one finds."""
    request = inference_pb2.RetrieveRequest(route="ask", text=text(number))
    return [citation.document_id for citation in client.retrieve(request).citations]


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("config")
    (folder / INDEX / "corpus").mkdir(parents=True)
    (folder / INDEX / "index.yaml").write_text("version: 1\ncorpus: corpus\nembedding: {precision: int8}\n")
    (folder / "trivet.yaml").write_text(yaml.safe_dump(CONFIG, sort_keys=False))
    return folder / "trivet.yaml"


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("backups")


@pytest.fixture(scope="module")
def temporary(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The temporary folder of the servers, and of nobody else."""
    folder, before = tmp_path_factory.mktemp("tmp"), os.environ.get("TMPDIR")
    os.environ["TMPDIR"] = str(folder)
    yield folder
    os.environ.pop("TMPDIR")
    if before is not None:
        os.environ["TMPDIR"] = before


@pytest.fixture(scope="module")
def data(work: Path, embedding_cache: Path) -> Path:
    """A data folder with a long request log of earlier days, on a long path."""
    data = with_exports(work / DEEP / DEEP, embedding_cache)
    line = json.dumps({"code": "OK", "padding": "x" * 1000}) + "\n"
    (data / "receipts.old.jsonl").write_text(line * (PADDING // len(line)))
    return data


@pytest.fixture(scope="module")
def backups(config: Path, data: Path, work: Path, temporary: Path) -> list[tuple[Path, int, int]]:
    """Backups that were made while a server was written to; between which numbers of documents each must have."""
    made = []
    with ServerProcess(config, data) as server, Writer(server, 0) as writer:
        killed_backups(data, work, writer)
        before = writer.acknowledged
        done = trivet("backup", work / "first", "--data-dir", data, "--json")
        assert done.returncode == 0, done.stderr
        assert {"documents.sqlite", "receipts.old.jsonl"} <= {file["path"] for file in json.loads(done.stdout)["files"]}
        made.append((work / "first", before, writer.acknowledged + 1))
        until(writer.another(), 60)
        before = writer.acknowledged
        running = subprocess.Popen(
            [sys.executable, "-m", "trivet.cli", "backup", str(work / "second"), "--data-dir", str(data)]
        )
        until(has(work / ".second.unfinished"), 120)
        os.kill(server.pid, signal.SIGKILL)  # while its folder is copied
        assert running.wait(300) == 0
        made.append((work / "second", before, writer.acknowledged + 1))
    return made


def killed_backups(data: Path, work: Path, writer: Writer) -> None:
    """At four moments; nothing is there under the backup's name, and what is there is refused."""
    unfinished = work / ".killed.unfinished"
    moments = [unfinished, unfinished / "documents.sqlite", unfinished / "receipts.old.jsonl"]
    for moment, size in [*((moment, 0) for moment in moments), (moments[-1], PADDING // 2)]:
        killed_when(has(moment, size), "backup", work / "killed", "--data-dir", data)
        assert not (work / "killed").exists()
        refused = trivet("restore", unfinished, "--data-dir", work / "from-killed")
        assert refused.returncode == 1
        assert "is not a whole backup: it has no manifest.json" in refused.stderr
        assert not (work / "from-killed").exists()
        shutil.rmtree(unfinished)  # or the next one's moment is there at once
        until(writer.another(), 60)
    killed_when(has(unfinished), "backup", work / "killed", "--data-dir", data)
    assert trivet("backup", work / "killed", "--data-dir", data).returncode == 0, "the next one works"
    assert not unfinished.exists()


def test_what_is_restored_answers_with_exactly_the_documents_of_the_backup(
    backups: list[tuple[Path, int, int]], config: Path, work: Path, embedding_cache: Path, temporary: Path
) -> None:
    backup, least, most = backups[0]
    target = work / "restored"
    unfinished_restores(config, backup, target)
    assert trivet("restore", backup, "--data-dir", target).returncode == 0
    (target / "cache" / "embedding").symlink_to(embedding_cache)  # made again otherwise, which takes half a minute
    with ServerProcess(config, target) as server, Client(server.target, timeout=60) as client:
        count = documents(client)
        assert least <= count <= most
        assert [number for number in range(count) if f"shelf{number}" not in found(client, number)] == []
        assert f"shelf{count}" not in found(client, count), "acknowledged after the backup"
        asked = inference_pb2.GenerateRequest(
            route="ask", messages=[inference_pb2.Message(role="user", content=text(count - 1))]
        )
        answer = client.generate(asked)
        assert answer.receipt.output_tokens > 0
        assert f"shelf{count - 1}" in [citation.document_id for citation in answer.citations]
        # `.ses` is a library's: the number of its session.
        open_to_others = [path.name for path in temporary.rglob("*") if path.lstat().st_mode & 0o077]
        assert [name for name in open_to_others if name != ".ses"] == []
        served = trivet("doctor", "--data-dir", target)
        assert (served.returncode, served.stdout) == (0, f"{target} is sound\n")
        assert f"process {server.pid} serves" in served.stderr
    healthy_and_damaged(target)


def unfinished_restores(config: Path, backup: Path, target: Path) -> None:
    """Killed at three moments: no server, backup or doctor takes the folder for whole."""
    restoring = target / "restoring"
    for moment, size in (
        (restoring, 0),
        (restoring / "receipts.old.jsonl", 0),
        (restoring / "receipts.old.jsonl", PADDING // 2),
    ):
        if target.exists():
            shutil.rmtree(target)
        killed_when(has(moment, size), "restore", backup, "--data-dir", target)
        refused = trivet("serve", "--config", config, "--data-dir", target)
        assert refused.returncode == 1
        assert "is not whole: a restore was not finished" in refused.stderr
        examined = trivet("doctor", "--data-dir", target, "--json")
        assert examined.returncode == 1
        assert [one["what"] for one in json.loads(examined.stdout)["findings"]] == ["a restore was not finished"]
        again = trivet("backup", backup.with_name("of-unfinished"), "--data-dir", target)
        assert again.returncode == 1
        assert "is not whole" in again.stderr


def healthy_and_damaged(data: Path) -> None:
    """The doctor on a folder that nobody serves, before and after its only collection has lost a file."""
    sound = trivet("doctor", "--data-dir", data, "--json")
    assert (sound.returncode, json.loads(sound.stdout)["findings"]) == (0, []), sound.stdout
    assert json.loads(sound.stdout)["sound"] is True
    (collection,) = (data / "vectors" / "collections").iterdir()
    shutil.rmtree(collection / "segments")
    shutil.rmtree(collection / "wal")
    damaged = trivet("doctor", "--data-dir", data)
    assert damaged.returncode == 1
    assert "what it means:" in damaged.stdout
    assert "to repair it:" in damaged.stdout
    told = trivet("doctor", "--data-dir", data, "--json")
    assert (told.returncode, json.loads(told.stdout)["sound"]) == (1, False)


def test_a_backup_outlives_the_server_and_so_do_its_documents(
    backups: list[tuple[Path, int, int]], config: Path, data: Path, work: Path, embedding_cache: Path, temporary: Path
) -> None:
    backup, least, most = backups[1]
    sockets = data / "cache" / "sockets" / "local"
    left = {path.name for path in sockets.iterdir()}
    assert left, "the killed server left its sockets, in its data folder"
    with ServerProcess(config, data) as server, Client(server.target, timeout=60) as client:
        assert not left & {path.name for path in sockets.iterdir()}
        kept = documents(client)
        os.kill(server.pid, signal.SIGKILL)  # a second time
        server.wait()
    with ServerProcess(config, data) as server, Client(server.target, timeout=60) as client:
        assert documents(client) == kept
    assert not sockets.exists()
    assert trivet("restore", backup, "--data-dir", work / "from-second").returncode == 0
    (work / "from-second" / "cache" / "embedding").symlink_to(embedding_cache)
    with ServerProcess(config, work / "from-second") as server, Client(server.target, timeout=60) as client:
        count = documents(client)
        assert least <= count <= min(most, kept)
        assert f"shelf{count - 1}" in found(client, count - 1)
    assert [path for path in temporary.iterdir() if path.name.startswith(("vllm", "trivet")) or path.is_socket()] == []
