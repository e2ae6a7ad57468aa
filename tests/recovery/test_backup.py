"""Backups and what is made of them: of one moment, whole or not at all."""

from __future__ import annotations

import asyncio
import json
import random
import resource
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.support.recovery.damage import DAMAGE
from trivet.adapters.preflight.preflight import digest
from trivet.app.recovery import backup
from trivet.app.recovery.backup import back_up
from trivet.app.recovery.doctor import examine
from trivet.app.recovery.files import copy_file
from trivet.app.recovery.manifest import Manifest
from trivet.app.recovery.restore import restore
from trivet.errors import FailedPrecondition
from trivet.retrieval.documents.documents import digest_of
from trivet.retrieval.service import open_database
from trivet.stores.data_folder import STATE_ELSEWHERE, DataFolder
from trivet.stores.document_log import DocumentLog
from trivet.stores.records import Origin
from trivet.stores.state import StateStore
from trivet.types.adapter import DesiredAdapter
from trivet.types.passage import Document, DocumentFormat
from trivet.types.variant import VersionRef

BIG = 40_000  # bytes of each document's content, so that a copy takes several steps

# The work of a process that dies at the n-th thing that it reports, or whose disk is full.
CHILD = """
import os, resource, signal, sys
from pathlib import Path
from typing import Any
from trivet.app.recovery import backup
from trivet.app.recovery.backup import back_up
from trivet.app.recovery.restore import restore
from trivet.errors import FailedPrecondition
work, source, target, steps, most = sys.argv[1:]
if int(most):
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(most), int(most)))
left = int(steps)
def report(what, done, total):
    global left
    left -= 1
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)
try:
    {"backup": back_up, "restore": restore}[work](Path(source), Path(target), report)
except (FailedPrecondition, OSError) as error:
    print(error)
    sys.exit(3)
"""


def quiet(_what: str, _done: int, _total: int) -> None:
    """Nobody watches."""


def document(number: int) -> Document:
    content = random.Random(number).randbytes(BIG // 2).hex().encode()
    return Document(f"doc{number}", content, DocumentFormat.TEXT)


async def append(log: DocumentLog, number: int) -> None:
    one = document(number)
    await log.append("handbook", one, digest_of(one), Origin.UPSERT)


async def documents_in(root: Path) -> list[str]:
    """The documents of a data folder's log, each one's content as it was given."""
    database = open_database(root / "documents.sqlite")
    try:
        log = DocumentLog(database)
        entries = await log.all_newest("handbook")
        for entry in entries:
            content = await log.content(entry.seq)
            assert content is not None
            assert digest_of(entry.document(content)) == entry.digest
        return [entry.document_id for entry in entries]
    finally:
        database.close()


def stage(root: Path, name: str) -> Path:
    """A staged adapter, as far as a backup looks."""
    work = root / "work"
    work.mkdir()
    for file, content in (("adapter.yaml", "x"), ("adapter_config.json", "{}"), ("adapter_model.safetensors", name)):
        (work / file).write_text(content)
    made = digest(work / "adapter_config.json", work / "adapter_model.safetensors")
    (root / "adapters").mkdir(exist_ok=True)
    return work.rename(root / "adapters" / f"{name}#{made[:12]}")


@pytest.fixture
async def root(tmp_path: Path) -> Path:
    """A data folder with twenty documents, a request, a staged adapter and receipts, the last one cut short."""
    root = tmp_path / "data"
    root.mkdir()
    database = open_database(root / "documents.sqlite")
    for number in range(20):
        await append(DocumentLog(database), number)
    database.close()
    state = StateStore.open(root / "state.sqlite")
    await state.desired_adapters.record("local", DesiredAdapter(VersionRef("a", "1"), "d" * 64))
    await state.create("support", "digest", "{}", actor="anna", reason="a better adapter")
    state.close()
    stage(root, "a@1")
    (root / "receipts.jsonl").write_text('{"n": 1}\n{"n": 2}\n{"n"')
    (root / "vectors").mkdir()
    return root


def child(
    work: str, source: Path, target: Path, *, dies_at: int = 0, most: int = 0
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", CHILD, work, str(source), str(target), str(dies_at), str(most)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


async def test_a_backup_put_back_has_everything_that_cannot_be_made_again(root: Path, tmp_path: Path) -> None:
    made = back_up(root, tmp_path / "backup", quiet)
    put_back = restore(tmp_path / "backup", tmp_path / "again", quiet)
    assert put_back == made
    assert made.left_out == []
    again = tmp_path / "again"
    assert await documents_in(again) == [f"doc{number}" for number in range(20)]
    assert (again / "receipts.jsonl").read_text() == '{"n": 1}\n{"n": 2}\n'
    (staged,) = (again / "adapters").iterdir()
    assert (staged / "adapter_model.safetensors").read_text() == "a@1"
    state = StateStore.open(again / "state.sqlite")
    assert [one.ref.name for one in await state.desired_adapters.all("local")] == ["a"]
    assert (await state.current())["support"].spec_digest == "digest"
    state.close()
    assert {entry.name for entry in again.iterdir()} >= {"documents.sqlite", "state.sqlite", "lock"}
    assert not (again / "restoring").exists()
    DataFolder.open(again).close()


def test_the_request_logs_of_front_ends_are_in_it(tmp_path: Path) -> None:
    """Of a server of several processes, whose databases are all elsewhere."""
    root = tmp_path / "data"
    for process in ("0", "1", "engine-local"):
        (root / "processes" / process).mkdir(parents=True)
        (root / "processes" / process / "receipts.jsonl").write_text(f'{{"of": "{process}"}}\n{{"n"')
        (root / "processes" / process / "cache").mkdir()
    (root / "processes" / "1" / "receipts-1.jsonl").write_text('{"older": 1}\n')
    (root / "processes" / "1" / STATE_ELSEWHERE).write_text("postgresql://db/trivet\n")
    made = back_up(root, tmp_path / "backup", quiet)
    restore(tmp_path / "backup", tmp_path / "again", quiet)
    again = tmp_path / "again" / "processes"
    assert {path.relative_to(again).as_posix(): path.read_text() for path in again.rglob("*") if path.is_file()} == {
        "0/receipts.jsonl": '{"of": "0"}\n',
        "1/receipts.jsonl": '{"of": "1"}\n',
        "1/receipts-1.jsonl": '{"older": 1}\n',
    }
    assert [line for line in made.left_out if "postgresql://db/trivet" in line]


async def test_a_backup_while_writers_write_has_exactly_the_documents_of_one_moment(root: Path, tmp_path: Path) -> None:
    acknowledged, stop, started = 20, threading.Event(), threading.Event()

    async def write() -> None:
        nonlocal acknowledged
        database = open_database(root / "documents.sqlite")
        while not stop.is_set():
            await append(DocumentLog(database), acknowledged)
            acknowledged += 1
            started.set()
        database.close()

    writer = threading.Thread(target=lambda: asyncio.run(write()))
    writer.start()
    try:
        await asyncio.to_thread(started.wait, 30)
        before = acknowledged
        await asyncio.to_thread(back_up, root, tmp_path / "backup", quiet)
        after = acknowledged
    finally:
        stop.set()
        writer.join()
    restore(tmp_path / "backup", tmp_path / "again", quiet)
    found = await documents_in(tmp_path / "again")
    assert found == [f"doc{number}" for number in range(len(found))], "a later one is never there without an earlier"
    assert before <= len(found) <= after + 1, "all that was acknowledged before, and nothing from after"


async def test_an_older_backup_is_put_back_as_it_was_then(root: Path, tmp_path: Path) -> None:
    back_up(root, tmp_path / "older", quiet)
    database = open_database(root / "documents.sqlite")
    await append(DocumentLog(database), 20)
    database.close()
    back_up(root, tmp_path / "newer", quiet)
    for name, documents in (("older", 20), ("newer", 21)):
        restore(tmp_path / name, tmp_path / f"from-{name}", quiet)
        assert len(await documents_in(tmp_path / f"from-{name}")) == documents


@pytest.mark.process
async def test_a_backup_that_is_killed_is_not_there_and_the_next_one_is_whole(root: Path, tmp_path: Path) -> None:
    target = tmp_path / "backup"
    killed = 0
    for step in (1, 2, 3, 4, 5):
        killed += child("backup", root, target, dies_at=step).returncode == -signal.SIGKILL
        assert not target.exists()
    assert killed == 5
    assert (tmp_path / ".backup.unfinished").exists(), "what the killed one left behind"
    back_up(root, target, quiet)
    assert not (tmp_path / ".backup.unfinished").exists()
    restore(target, tmp_path / "again", quiet)
    assert len(await documents_in(tmp_path / "again")) == 20


@pytest.mark.process
async def test_a_restore_that_is_killed_is_not_served_and_the_next_one_is_whole(root: Path, tmp_path: Path) -> None:
    manifest = back_up(root, tmp_path / "backup", quiet)
    again = tmp_path / "again"
    verifying = len(manifest.files)
    for step in (verifying, verifying + 1, verifying + 3, verifying + len(manifest.files)):
        assert child("restore", tmp_path / "backup", again, dies_at=step).returncode == -signal.SIGKILL
        if step > verifying:
            with pytest.raises(FailedPrecondition, match="a restore was not finished"):
                DataFolder.open(again)
    restore(tmp_path / "backup", again, quiet)
    assert len(await documents_in(again)) == 20
    DataFolder.open(again).close()


async def test_wherever_a_restore_is_killed_the_folder_is_never_taken_for_whole(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also while the restored files are put in their places, one after the other."""
    back_up(root, tmp_path / "backup", quiet)
    again, rename = tmp_path / "again", Path.rename
    for moved in range(4):  # what a backup of this folder has at the top, less the manifest
        left = moved

        def killed(self: Path, target: Path) -> Path:
            nonlocal left
            if not left:
                shutil.copytree(again, tmp_path / "as it was")  # what a killed process leaves: nothing is cleared
                raise KeyboardInterrupt
            left -= 1
            return rename(self, target)

        monkeypatch.setattr(Path, "rename", killed)
        with pytest.raises(KeyboardInterrupt):
            restore(tmp_path / "backup", again, quiet)
        monkeypatch.undo()
        rename(tmp_path / "as it was", again)
        assert len(list((again / "restoring").iterdir())) == 4 - moved
        with pytest.raises(FailedPrecondition, match="a restore was not finished"):
            DataFolder.open(again)
        with pytest.raises(FailedPrecondition, match="a restore was not finished"):
            back_up(again, tmp_path / "of it", quiet)
        assert [finding.what for finding in (await examine(again, quiet)).findings] == ["a restore was not finished"]
        restore(tmp_path / "backup", again, quiet)
        assert len(await documents_in(again)) == 20
        shutil.rmtree(again)


@pytest.mark.process
@pytest.mark.parametrize("most", [1, 4096, 100_000])
def test_a_full_disk_leaves_nothing_and_says_so(root: Path, tmp_path: Path, most: int) -> None:
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY
    target = tmp_path / "backup"
    full = child("backup", root, target, most=most)
    assert full.returncode == 3, full.stderr
    assert "documents.sqlite" in full.stdout or "state.sqlite" in full.stdout or "large" in full.stdout
    assert not target.exists()
    assert not (tmp_path / ".backup.unfinished").exists()
    back_up(root, target, quiet)
    again = child("restore", target, tmp_path / "again", most=most)
    assert again.returncode == 3, again.stderr
    assert not (tmp_path / "again").exists()
    restore(target, tmp_path / "again", quiet)


@pytest.mark.parametrize("kind", ["missing", "truncated", "flipped", "folder"])
def test_a_damaged_backup_is_refused_before_anything_is_written(root: Path, tmp_path: Path, kind: str) -> None:
    back_up(root, tmp_path / "backup", quiet)
    DAMAGE[kind](tmp_path / "backup" / "documents.sqlite")
    with pytest.raises(FailedPrecondition, match=r"backup .* is damaged: documents\.sqlite"):
        restore(tmp_path / "backup", tmp_path / "again", quiet)
    assert not (tmp_path / "again").exists()


@pytest.mark.parametrize("path", ["../escaped", "/etc/escaped", "a/../../escaped", ""])
def test_a_manifest_that_names_a_path_outside_is_refused(root: Path, tmp_path: Path, path: str) -> None:
    back_up(root, tmp_path / "backup", quiet)
    manifest = tmp_path / "backup" / "manifest.json"
    content = json.loads(manifest.read_text())
    content["files"][0]["path"] = path
    manifest.write_text(json.dumps(content))
    with pytest.raises(FailedPrecondition, match="expected a path inside the backup"):
        restore(tmp_path / "backup", tmp_path / "again", quiet)
    assert not (tmp_path / "again").exists()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 1}'])
def test_a_half_written_manifest_is_refused(root: Path, tmp_path: Path, text: str) -> None:
    back_up(root, tmp_path / "backup", quiet)
    (tmp_path / "backup" / "manifest.json").write_text(text)
    with pytest.raises(FailedPrecondition, match="not the manifest of a backup"):
        Manifest.read(tmp_path / "backup")


def test_nothing_is_written_over(root: Path, tmp_path: Path) -> None:
    back_up(root, tmp_path / "backup", quiet)
    with pytest.raises(FailedPrecondition, match="choose a new one"):
        back_up(root, tmp_path / "backup", quiet)
    with pytest.raises(FailedPrecondition, match="inside the data folder"):
        back_up(root, root / "backup", quiet)
    with pytest.raises(FailedPrecondition, match="is not empty"):
        restore(tmp_path / "backup", root, quiet)
    with pytest.raises(FailedPrecondition, match="is not a data folder"):
        back_up(tmp_path / "nothing", tmp_path / "other", quiet)


def test_a_damaged_database_makes_no_backup_and_a_damaged_cache_or_copy_is_left_out(root: Path, tmp_path: Path) -> None:
    (root / "cache").mkdir()
    (root / "cache" / "passages.sqlite").write_bytes(b"no database" * 1000)
    (adapter,) = (root / "adapters").iterdir()
    (adapter / "adapter_model.safetensors").write_text("other bytes")
    made = back_up(root, tmp_path / "backup", quiet)
    assert [line.partition(":")[0] for line in made.left_out] == ["cache/passages.sqlite", f"adapters/{adapter.name}"]
    restore(tmp_path / "backup", tmp_path / "again", quiet)
    assert not (tmp_path / "again" / "adapters").exists()
    content = bytearray((root / "documents.sqlite").read_bytes())
    content[5 * 4096 : 9 * 4096] = bytes(4 * 4096)
    (root / "documents.sqlite").write_bytes(content)
    with pytest.raises(FailedPrecondition, match=r"documents\.sqlite"):
        back_up(root, tmp_path / "second", quiet)
    assert not (tmp_path / "second").exists()


def test_a_backup_of_another_schema_names_the_version_that_made_it(root: Path, tmp_path: Path) -> None:
    back_up(root, tmp_path / "backup", quiet)
    manifest = tmp_path / "backup" / "manifest.json"
    content = json.loads(manifest.read_text())
    content["schemas"]["documents.sqlite"] = 99
    content["trivet"] = "9.9.9"
    manifest.write_text(json.dumps(content))
    with pytest.raises(FailedPrecondition, match=r"schema version 99, .* 9\.9\.9"):
        restore(tmp_path / "backup", tmp_path / "again", quiet)


def test_a_log_that_is_put_aside_meanwhile_is_copied_whole_and_once(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied: list[str] = []

    def copy_and_rotate(source: Path, *rest: Any) -> Any:
        copied.append(source.name)
        if copied == ["receipts-000001.jsonl"]:
            (root / "receipts.jsonl").rename(root / "receipts-000002.jsonl")
            (root / "receipts.jsonl").write_text('{"n": 3}\n')
        return copy_file(source, *rest)

    (root / "receipts-000001.jsonl").write_text('{"n": 0}\n')
    monkeypatch.setattr(backup, "copy_file", copy_and_rotate)
    made = back_up(root, tmp_path / "backup", quiet)
    logs = sorted((tmp_path / "backup").glob("*.jsonl"))
    assert [path.name for path in logs] == ["receipts-000001.jsonl", "receipts-000002.jsonl", "receipts.jsonl"]
    assert "".join(path.read_text() for path in logs) == "".join(f'{{"n": {number}}}\n' for number in range(4))
    assert sum(file.path.endswith(".jsonl") for file in made.files) == 3
    restore(tmp_path / "backup", tmp_path / "again", quiet)
