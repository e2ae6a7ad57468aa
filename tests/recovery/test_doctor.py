"""What the doctor finds, in a sound folder and in damaged ones; it changes nothing."""

from __future__ import annotations

import json
import shutil
import sqlite3
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.support.recovery.damage import DAMAGE
from tests.support.recovery.index import DOCUMENTS, Opened, segments_of
from tests.support.retrieval.documents import markdown, texts
from trivet.app.recovery.doctor import examine
from trivet.app.recovery.findings import Diagnosis
from trivet.cli.main import main
from trivet.errors import FailedPrecondition

pytestmark = pytest.mark.embedding


async def diagnosis(root: Path) -> Diagnosis:
    return await examine(root, lambda *_: None)


def said(found: Diagnosis) -> str:
    return "\n".join(f"{one.where}: {one.what}: {one.means}: {one.remedy}" for one in found.findings)


def content_flipped(root: Path, document_id: str) -> None:
    """A byte of a document's compressed content is another one; SQLite itself does not see it."""
    with sqlite3.connect(root / "documents.sqlite") as connection:
        seq, content = connection.execute(
            "SELECT seq, compressed FROM contents JOIN entries USING (seq) WHERE document_id = ?", (document_id,)
        ).fetchone()
        changed = content[:-6] + bytes([content[-6] ^ 0xFF]) + content[-5:]
        connection.execute("UPDATE contents SET compressed = ? WHERE seq = ?", (changed, seq))


async def test_a_sound_folder_is_sound_and_a_served_one_says_who_serves_it(root: Path, opened: Opened) -> None:
    found = await diagnosis(root)
    assert said(found) == ""
    assert found.server_pid == 0
    async with opened(root):
        served = await diagnosis(root)
    assert said(served) == ""
    assert served.server_pid > 0


async def test_damaged_collections_are_found_and_left_alone(root: Path) -> None:
    (collection,) = (root / "vectors" / "collections").iterdir()
    sound = root / "sound"
    shutil.copytree(collection, sound)
    shutil.rmtree(collection / "segments")
    shutil.rmtree(collection / "wal")
    assert "6 documents of the log are missing or older in it" in said(await diagnosis(root))
    shutil.rmtree(collection)
    assert "it is missing" in said(await diagnosis(root))
    shutil.copytree(sound, collection)
    for status in collection.glob("segments/*/vector_storage-dense/vectors/status.dat"):
        status.write_bytes(b"")
    found = said(await diagnosis(root))
    assert "it cannot be opened: PanicException" in found
    assert "the next start makes it again from the document log" in found
    assert collection.is_dir(), "it is not moved"
    assert not (root / "vectors" / "set-aside").exists()


async def test_a_damaged_content_is_named_served_on_while_its_passages_are_there_and_mended_by_an_upsert(
    root: Path, opened: Opened, caplog: pytest.LogCaptureFixture
) -> None:
    content_flipped(root, "doc3")
    found = said(await diagnosis(root))
    assert "content of document 'doc3' in index 'handbook', revision 1, is damaged" in found
    assert "trivet index add handbook FILE --id doc3" in found
    async with opened(root) as service:
        assert len(await texts(service, "lamp", top_k=20)) == 6
        with pytest.raises(FailedPrecondition, match=r"'doc3'.*is damaged"):
            async for _ in service.build("handbook", rebuild=True):
                pass
    shutil.rmtree(root / "vectors" / "collections")
    async with opened(root) as service:
        assert len(await texts(service, "lamp", top_k=20)) == 5
        assert "is without a document of the log: document log: the content of document 'doc3'" in caplog.text
        await service.upsert("handbook", markdown("doc3", DOCUMENTS["doc3"]))
        assert len(await texts(service, "lamp", top_k=20)) == 6
    assert said(await diagnosis(root)) == ""


@pytest.mark.parametrize("kind", [*DAMAGE, "pages"])
async def test_a_damaged_log_is_named_with_the_remedy_and_a_start_says_the_same(
    root: Path, opened: Opened, kind: str
) -> None:
    log = root / "documents.sqlite"
    if kind == "pages":
        content = bytearray(log.read_bytes())
        content[4096:] = bytes(len(content) - 4096)
        log.write_bytes(content)
    elif kind == "flipped":  # SQLite's own first bytes: those in the middle may be free, or a content's
        log.write_bytes(b"X" + log.read_bytes()[1:])
    else:
        DAMAGE[kind](log)
    before = segments_of(root)
    found = said(await diagnosis(root))
    assert "documents.sqlite" in found
    assert "trivet restore" in found
    with pytest.raises(Exception, match=r"documents\.sqlite.*trivet (restore|doctor)"):
        async with opened(root):
            pass
    assert segments_of(root) == before


async def test_damaged_copies_a_lost_list_and_an_unfinished_restore_are_found(root: Path) -> None:
    copy = root / "adapters" / "a@1#0123456789ab"
    copy.mkdir(parents=True)
    found = said(await diagnosis(root))
    assert "does not have the bytes that its name says" in found
    assert "state.sqlite: it was lost" in found
    (root / "restoring").mkdir()
    assert "a restore was not finished" in said(await diagnosis(root))


def test_the_command_prints_findings_and_its_exit_code_tells(tmp_path: Path) -> None:
    empty = tmp_path / "data"
    empty.mkdir()
    run = CliRunner().invoke(main, ["doctor", "--data-dir", str(empty), "--json"])
    assert (run.exit_code, json.loads(run.stdout)["sound"]) == (0, True)
    (empty / "vectors" / "collections" / "x").mkdir(parents=True)
    run = CliRunner().invoke(main, ["doctor", "--data-dir", str(empty)])
    assert run.exit_code == 1
    assert "to repair it:" in run.stdout
    run = CliRunner().invoke(main, ["doctor", "--data-dir", str(tmp_path / "nowhere"), "--json"])
    assert (run.exit_code, len(json.loads(run.stdout)["findings"])) == (1, 1)
