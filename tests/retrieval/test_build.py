"""Building an index from its corpus folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from retrieval_documents import built, markdown, texts
from trivet.errors import DocumentRejected, FailedPrecondition, NotFound
from trivet.retrieval.service import IndexService
from trivet.retrieval.settings import IndexSettings
from trivet.types.passage import BuildProgress

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.embedding]


@pytest.fixture
def corpus(settings: IndexSettings) -> Path:
    """Three files."""
    (settings.corpus / "a.md").write_text("# A\n\nAlpha is the first letter.")
    (settings.corpus / "sub").mkdir()
    (settings.corpus / "sub" / "b.html").write_text("<h1>B</h1><p>Beta is the second letter.</p>")
    (settings.corpus / "c.txt").write_text("Gamma is the third letter.")
    return settings.corpus


def embedded(progress: list[BuildProgress]) -> list[str]:
    return [one.document_id for one in progress if one.stage == "embed"]


async def test_only_what_changed_is_embedded(service: IndexService, corpus: Path) -> None:
    first = await built(service)
    assert [(one.stage, one.done, one.total) for one in first] == [
        *(("read", n, 3) for n in (1, 2, 3)),
        *(("embed", n, 3) for n in (1, 2, 3)),
    ]
    assert embedded(first) == ["a", "c", "sub/b"]
    assert embedded(await built(service)) == []
    (corpus / "c.txt").write_text("Gamma is now the last letter.")
    assert embedded(await built(service)) == ["c"]
    assert set(await texts(service, "letter")) == {
        "Alpha is the first letter.",
        "Beta is the second letter.",
        "Gamma is now the last letter.",
    }


async def test_what_left_the_corpus_goes_and_what_was_upserted_stays(service: IndexService, corpus: Path) -> None:
    await built(service)
    await service.upsert("handbook", markdown("x", "Xi was added by hand."))
    (corpus / "a.md").unlink()
    progress = await built(service)
    assert progress[-1] == BuildProgress("write", 1, 1, "a")
    assert "Alpha is the first letter." not in await texts(service, "Alpha letter")
    assert "Xi was added by hand." in await texts(service, "Xi")
    assert (await service.status())[0].documents == 3
    (corpus / "a.md").write_text("# A\n\nAlpha is the first letter.")
    assert embedded(await built(service)) == ["a"]


async def test_a_later_upsert_or_deletion_stands_until_the_file_changes(service: IndexService, corpus: Path) -> None:
    await built(service)
    await service.upsert("handbook", markdown("a", "Alpha was corrected by hand."))
    await service.delete("handbook", ["c"])
    assert embedded(await built(service)) == []
    assert set(await texts(service, "letter")) == {"Alpha was corrected by hand.", "Beta is the second letter."}
    (corpus / "a.md").write_text("Alpha is in the file again.")
    (corpus / "c.txt").write_text("Gamma is in the file again.")
    assert embedded(await built(service)) == ["a", "c"]
    assert set(await texts(service, "file")) >= {"Alpha is in the file again.", "Gamma is in the file again."}


async def test_an_upsert_over_a_corpus_document_survives_the_file(service: IndexService, corpus: Path) -> None:
    await built(service)
    await service.upsert("handbook", markdown("a", "Alpha was corrected by hand."))
    same = (corpus / "c.txt").read_bytes()
    (corpus / "a.md").unlink()
    await built(service)
    assert "Alpha was corrected by hand." in await texts(service, "Alpha")
    (corpus / "c.txt").unlink()
    await built(service)
    (corpus / "c.txt").write_bytes(same)
    assert embedded(await built(service)) == ["c"]


async def test_a_corpus_with_a_bad_file_changes_nothing(service: IndexService, corpus: Path) -> None:
    await built(service)
    (corpus / "a.md").write_text("Alpha is new.")
    for name, content, problem in (
        ("a.html", b"<p>x</p>", r"'a': a\.html and a\.md"),
        ("z.txt", b"\xff", "byte 0 is invalid"),
        ("z.txt", b" ", "is empty"),
        ("z.docx", b"x", "expected one of the endings"),
    ):
        (corpus / name).write_bytes(content)
        with pytest.raises(DocumentRejected, match=problem):
            await built(service)
        (corpus / name).unlink()
        assert "Alpha is the first letter." in await texts(service, "Alpha")
    assert embedded(await built(service)) == ["a"]


async def test_all_bad_files_are_named_before_anything_is_written(service: IndexService, corpus: Path) -> None:
    """Also those that only splitting finds: a damaged PDF, a line that is no passage."""
    bad = {
        "damaged.pdf": b"%PDF-1.7\nno more than that",
        "lines.jsonl": b'{"text": "one"}\n{"texts": "two"}\n',
        "many.jsonl": b'{"id": "m", "text": "one"}\n{"id": "n", "text": 2}\n',
        "latin.txt": b"caf\xe9",
        "sheet.xls": b"x",
    }
    for name, content in bad.items():
        (corpus / name).write_bytes(content)
    with pytest.raises(DocumentRejected, match=r"^5 problems in the corpus: ") as error:
        await built(service)
    for named in ("'damaged'", "'lines': line 2", "many.jsonl:2", "'latin'", "sheet.xls"):
        assert named in str(error.value)
    assert (await service.status())[0].documents == 0
    for name in bad:
        (corpus / name).unlink()
    assert embedded(await built(service)) == ["a", "c", "sub/b"]


async def test_a_build_can_be_stopped_and_goes_on(service: IndexService, corpus: Path) -> None:
    building = service.build("handbook")
    async for progress in building:
        if progress.stage == "embed":
            break
    with pytest.raises(FailedPrecondition, match="being built"):
        await built(service)
    await building.aclose()  # type: ignore[attr-defined]
    assert embedded(await built(service)) == ["c", "sub/b"]


async def test_a_corpus_or_an_index_that_is_not_there(service: IndexService, settings: IndexSettings) -> None:
    assert await built(service) == []
    settings.corpus.rmdir()
    with pytest.raises(FailedPrecondition, match="no corpus folder"):
        await built(service)
    with pytest.raises(NotFound):
        _ = [one async for one in service.build("nowhere")]
