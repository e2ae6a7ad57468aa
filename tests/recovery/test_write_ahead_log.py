"""What a killed server leaves beside its databases, damaged: the last acknowledged documents are only in there."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.support.recovery.damage import DAMAGE
from tests.support.recovery.index import DOCUMENTS, Opened
from tests.support.retrieval.documents import markdown, texts
from trivet.errors import FailedPrecondition

pytestmark = pytest.mark.embedding
NEWEST = "The newest document is about the colour of the last lamp."


@pytest.fixture
async def killed(root: Path, opened: Opened, tmp_path: Path) -> Path:
    """The folder as a killed server leaves it: one more document was acknowledged, and is in no database file yet."""
    async with opened(root) as service:
        await service.upsert("handbook", markdown("newest", NEWEST))
        shutil.copytree(root, tmp_path / "killed", symlinks=True)
    log = tmp_path / "killed" / "documents.sqlite-wal"
    assert log.stat().st_size > 0
    return tmp_path / "killed"


async def test_undamaged_it_has_every_document(killed: Path, opened: Opened) -> None:
    async with opened(killed) as service:
        assert NEWEST in await texts(service, "the last lamp", top_k=20)


@pytest.mark.parametrize("kind", [*DAMAGE])
@pytest.mark.parametrize("name", ["documents.sqlite-wal", "documents.sqlite-shm"])
async def test_damaged_nothing_is_lost_in_silence(
    killed: Path, opened: Opened, name: str, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It opens with every document, or says what it has not: it is refused by name, or an error in the log tells."""
    DAMAGE[kind](killed / name)
    try:
        async with opened(killed) as service:
            found = await texts(service, "lamp", top_k=20)
    except FailedPrecondition as refusal:
        refused = str(refusal)
    else:
        assert len([text for text in found if text in DOCUMENTS.values()]) == len(DOCUMENTS)
        said = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
        assert NEWEST in found or any("handbook" in line for line in said), said
        assert NEWEST in found or any((killed / "foreign").iterdir()), "the collection that has it is kept"
        return
    assert "documents.sqlite" in refused
    assert "trivet doctor" in refused
