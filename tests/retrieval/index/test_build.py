"""Building an index from its corpus folder."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.support.retrieval.documents import built, markdown, reported, texts
from trivet.errors import DocumentRejected, FailedPrecondition, NotFound
from trivet.retrieval.service import IndexService
from trivet.retrieval.settings import CorpusSelection, IndexSettings
from trivet.types.passage import BuildProgress
from trivet.types.text.path_pattern import PathPattern

MakeService = Callable[..., Awaitable[IndexService]]
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


BAD = {
    "damaged.pdf": b"%PDF-1.7\nno more than that",
    "empty.txt": b" \n",
    "lines.jsonl": b'{"text": "one"}\n{"texts": "two"}\n',
    "many.jsonl": b'{"id": "m", "text": "Mu is in many."}\n{"id": "n", "text": 2}\n',
    "binary.md": bytes(range(256)) * 4,
    "a.html": b"<p>Alpha is here, too.</p>",
}
OTHERS = {"style.css": b"p {}", "logo.PNG": b"\x89PNG", "photo.png": b"x", "Makefile": b"all:\n", ".hidden.md": b"x"}


@pytest.fixture
def mixed(corpus: Path) -> Path:
    """One of each bad thing beside the three good files."""
    for name, content in {**BAD, **OTHERS}.items():
        (corpus / name).write_bytes(content)
    os.mkfifo(corpus / "pipe.md")
    (corpus / "nowhere.md").symlink_to("gone.md")
    (corpus.parent / "secret.md").write_text("Not of the corpus.")
    (corpus / "outside.md").symlink_to(corpus.parent / "secret.md")
    (corpus / "inside.md").symlink_to("c.txt")
    (corpus / "latin.txt").write_bytes("Das Möbelstück wird im Frühjahr ausgeliefert.".encode("cp1252"))
    return corpus


async def test_what_cannot_be_read_is_skipped_and_told_and_the_rest_is_taken(
    service: IndexService, mixed: Path
) -> None:
    report = await reported(service)
    told = {one.file: one.reason for one in report.first_skipped}
    assert report.skipped == len(told) == 9
    for file, reason in {
        "damaged.pdf": "document 'damaged'",
        "empty.txt": "document 'empty' is empty",
        "lines.jsonl": "line 2",
        "many.jsonl:2": "'text' is not a string",
        "binary.md": "is not text in a known encoding",
        "a.md": "document 'a' is a.html already",
        "pipe.md": "is a named pipe",
        "nowhere.md": "is a link to nothing",
        "outside.md": "is a link out of the corpus folder",
    }.items():
        assert reason in told[file], file
    assert not any(one.kept for one in report.first_skipped)
    assert (report.ignored, report.ignored_kinds) == (4, ((".png", 2), ("(none)", 1), (".css", 1)))
    assert [(one.file, one.encoding) for one in report.first_guessed] == [("latin.txt", "windows-1252")]
    assert (report.files, report.documents, report.excluded) == (11, 8, 0)
    found = await texts(service, "letter Mu Möbelstück", top_k=20)
    assert {"Alpha is here, too.", "Gamma is the third letter.", "Mu is in many."} <= set(found)
    assert "Das Möbelstück wird im Frühjahr ausgeliefert." in found
    assert "Not of the corpus." not in found
    assert embedded(await built(service)) == ["damaged", "lines"]  # tried again, not taken


async def test_progress_counts_what_was_skipped(service: IndexService, mixed: Path) -> None:
    progress = await built(service)
    assert [one.skipped for one in progress] == sorted(one.skipped for one in progress)
    assert progress[-1].skipped == 9


async def test_a_strict_build_names_everything_bad_before_anything_is_written(
    service: IndexService, mixed: Path
) -> None:
    with pytest.raises(DocumentRejected, match=r"^9 problems in the corpus: ") as error:
        _ = [one async for one in service.build("handbook", strict=True)]
    for named in ("'damaged'", "lines.jsonl: document 'lines': line 2", "many.jsonl:2", "binary.md", "outside.md"):
        assert named in str(error.value)
    assert (await service.status())[0].documents == 0
    for name in (*BAD, "pipe.md", "nowhere.md", "outside.md"):
        (mixed / name).unlink()
    events = [one async for one in service.build("handbook", strict=True)]
    assert embedded([one for one in events if isinstance(one, BuildProgress)]) == ["a", "c", "inside", "latin", "sub/b"]


@pytest.mark.parametrize("bad", [b" ", b"%PDF", bytes(range(256)) * 4, None])
async def test_a_file_that_can_be_read_no_longer_keeps_its_last_good_revision(
    service: IndexService, corpus: Path, bad: bytes | None
) -> None:
    await built(service)
    path = corpus / "c.txt"
    if bad is None:
        path.rename(corpus / "c.old")
        os.mkfifo(path)
    else:
        path.write_bytes(bad)
        (corpus / "a.md").unlink()
    report = await reported(service)
    if bad != b"%PDF":  # which is text
        assert [(one.file, one.kept) for one in report.first_skipped] == [("c.txt", True)]
        assert "Gamma is the third letter." in await texts(service, "Gamma")
    assert ("Alpha is the first letter." in await texts(service, "Alpha")) == (bad is None)
    path.unlink()
    await built(service)
    assert "Gamma is the third letter." not in await texts(service, "Gamma")


async def test_documents_of_lines_stay_while_it_cannot_be_told_what_the_file_has(
    service: IndexService, corpus: Path
) -> None:
    good = [
        '{"id": "m", "text": "Mu is in many."}',
        '{"id": "n", "text": "Nu is in many.", "source": "https://example.com/nu"}',
        '{"id": "o", "text": "Omikron is in many."}',
    ]
    path = corpus / "many.jsonl"
    path.write_text("\n".join(good))
    await built(service)
    (corpus / "a.md").unlink()
    path.write_text("\n".join([good[0], '{"id": "n", "text": ', good[2][:20]]))
    await built(service)
    found = await texts(service, "letter many", top_k=20)
    assert {"Mu is in many.", "Nu is in many.", "Omikron is in many."} <= set(found)
    assert "Alpha is the first letter." not in found
    path.write_text("\n".join([good[0], '{"id": "n", "text": 5}']))  # it is known which one is bad, and which is gone
    report = await reported(service)
    assert [(one.file, one.kept) for one in report.first_skipped] == [("many.jsonl:2", True)]
    found = await texts(service, "many", top_k=20)
    assert {"Mu is in many.", "Nu is in many."} <= set(found)
    assert "Omikron is in many." not in found
    path.unlink()
    await built(service)
    assert not [text for text in await texts(service, "many", top_k=20) if "many" in text]


async def test_documents_of_a_folder_that_is_not_read_stay(service: IndexService, corpus: Path, tmp_path: Path) -> None:
    await built(service)
    (corpus / "sub").rename(tmp_path / "moved")
    (corpus / "sub").symlink_to(tmp_path / "moved")
    (corpus / "a.md").unlink()
    assert [one.file for one in (await reported(service)).first_skipped] == ["sub/"]
    assert set(await texts(service, "letter")) == {"Beta is the second letter.", "Gamma is the third letter."}
    (corpus / "sub").unlink()
    await built(service)
    assert set(await texts(service, "letter")) == {"Gamma is the third letter."}


async def test_the_first_of_two_files_of_one_id_stays_the_document_even_while_it_is_bad(
    service: IndexService, corpus: Path
) -> None:
    (corpus / "a.txt").write_text("Alpha is another file's.")
    (corpus / "cafe\u0301.txt").write_text("Coffee, decomposed.")
    (corpus / "café.txt").write_text("Coffee, composed.")
    report = await reported(service)
    assert [(one.file, one.reason) for one in report.first_skipped] == [
        ("a.txt", "document 'a' is a.md already"),
        ("café.txt", "document 'café' is cafe\u0301.txt already"),
    ]
    (corpus / "a.md").write_bytes(b"")
    await built(service)
    assert "Alpha is the first letter." in await texts(service, "Alpha")
    (corpus / "a.md").unlink()
    await built(service)
    assert "Alpha is another file's." in await texts(service, "Alpha")


async def test_which_files_are_taken_can_be_said(make_service: MakeService, corpus: Path) -> None:
    def patterns(*given: str) -> tuple[PathPattern, ...]:
        return tuple(map(PathPattern.parse, given))

    for name in ("drafts/d.md", "sub/drafts/e.md", "x.md", "sub/notes.md", "data/t.txt"):
        (corpus / name).parent.mkdir(parents=True, exist_ok=True)
        (corpus / name).write_text(f"This is {name}.")
    selection = CorpusSelection(include=patterns("*.md", "data/"), ignore=patterns("/drafts/**", "notes.*"))
    service = await make_service(selection=selection)
    report = await reported(service)
    assert (report.files, report.skipped, report.ignored) == (4, 0, 0)
    assert report.excluded == 4  # c.txt, drafts/d.md, sub/b.html, sub/notes.md
    assert set(await texts(service, "This is", top_k=20)) == {
        "Alpha is the first letter.",
        "This is data/t.txt.",
        "This is sub/drafts/e.md.",
        "This is x.md.",
    }


async def test_links_out_of_the_folder_are_followed_where_allowed_and_never_in_circles(
    make_service: MakeService, corpus: Path, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "far.md").write_text("Far away.")
    (corpus / "linked").symlink_to(elsewhere)
    (corpus / "sub" / "up").symlink_to(corpus)
    service = await make_service()
    told = {one.file: one.reason for one in (await reported(service)).first_skipped}
    assert told.keys() == {"linked/", "sub/up/"}
    assert all("is a link to a folder" in reason for reason in told.values())
    service = await make_service(selection=CorpusSelection(follow_links=True))
    told = {one.file: one.reason for one in (await reported(service)).first_skipped}
    assert told == {"sub/up/": "is a link to a folder that it is in"}
    assert "Far away." in await texts(service, "Far away")


async def test_a_corpus_of_more_than_max_files_is_refused_before_anything_is_written(
    make_service: MakeService, corpus: Path
) -> None:
    service = await make_service(selection=CorpusSelection(max_files=3))
    with pytest.raises(FailedPrecondition, match="more than 3 files and folders, which is max_files"):
        await built(service)
    (corpus / "c.txt").unlink()
    (corpus / "many.jsonl").write_text("".join(f'{{"id": "{n}", "text": "x"}}\n' for n in range(4)))
    service = await make_service(selection=CorpusSelection(max_files=4))
    with pytest.raises(FailedPrecondition, match="more than 4 documents, which is max_files"):
        await built(service)
    assert (await service.status())[0].documents == 0


async def test_a_build_can_be_stopped_and_goes_on(service: IndexService, corpus: Path) -> None:
    building = service.build("handbook")
    async for progress in building:
        if isinstance(progress, BuildProgress) and progress.stage == "embed":
            break
    with pytest.raises(FailedPrecondition, match="being built"):
        await built(service)
    await building.aclose()
    assert embedded(await built(service)) == ["c", "sub/b"]


async def test_a_corpus_or_an_index_that_is_not_there(service: IndexService, settings: IndexSettings) -> None:
    assert await built(service) == []
    settings.corpus.rmdir()
    with pytest.raises(FailedPrecondition, match="no corpus folder"):
        await built(service)
    with pytest.raises(NotFound):
        _ = [one async for one in service.build("nowhere")]
