"""Walking a corpus folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from trivet.errors import DocumentRejected, FailedPrecondition
from trivet.retrieval.corpus import walk as walk_module
from trivet.retrieval.corpus.corpus import documents_of_corpus, read_file
from trivet.retrieval.corpus.files import FoundDocument, RefusedPart
from trivet.retrieval.corpus.report import MAX_NAMED, CorpusReportBuilder
from trivet.retrieval.corpus.walk import Walk
from trivet.retrieval.settings import CorpusSelection, IndexSettings
from trivet.types.text.path_pattern import PathPattern

ALL = CorpusSelection()


def walked(folder: Path, selection: CorpusSelection = ALL) -> tuple[list[str], CorpusReportBuilder]:
    findings = CorpusReportBuilder()
    return [name for name in Walk(folder, selection, findings, findings.skip) if name is not None], findings


def test_files_come_in_the_order_of_their_paths_and_hidden_ones_do_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(walk_module, "_SORTED_AT_ONCE", 2)
    for name in ("b.md", "a.txt", "sub/c.HTML", "sub/a/z.md", "z.md", "d.md", "c.md", ".hidden.md", ".git/d.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    names, findings = walked(tmp_path)
    assert names == ["a.txt", "b.md", "c.md", "d.md", "sub/a/z.md", "sub/c.HTML", "z.md"]
    assert findings.report().skipped == 0


@pytest.mark.parametrize("swapped", ["sub/a.md", "sub"])
def test_a_link_that_takes_a_file_s_place_after_the_walk_is_not_followed(tmp_path: Path, swapped: str) -> None:
    corpus, outside = tmp_path / "corpus", tmp_path / "outside"
    for folder in (corpus / "sub", outside):
        folder.mkdir(parents=True)
        (folder / "a.md").write_text(f"In {folder.name}.")
    assert walked(corpus)[0] == ["sub/a.md"]
    (corpus / swapped).rename(tmp_path / "before")
    (corpus / swapped).symlink_to(outside if swapped == "sub" else outside / "a.md")
    (found,) = read_file(IndexSettings("handbook", corpus), "sub/a.md")
    assert isinstance(found, RefusedPart)
    assert found.problem.startswith("is a link out of the corpus folder")
    (found,) = read_file(IndexSettings("handbook", corpus, selection=CorpusSelection(follow_links=True)), "sub/a.md")
    assert isinstance(found, FoundDocument)
    assert found.document.content == b"In outside."


def test_pictures_are_files_of_the_corpus_where_their_text_is_recognized(tmp_path: Path) -> None:
    for name in ("scan.TIFF", "photo.jpg", "page.md", "film.gif"):
        (tmp_path / name).write_text(name)
    names, findings = walked(tmp_path)
    assert (names, findings.report().ignored) == (["page.md"], 3)
    names, findings = walked(tmp_path, CorpusSelection(images=True))
    assert (names, findings.report().ignored) == (["page.md", "photo.jpg", "scan.TIFF"], 1)


def test_an_ignored_folder_is_not_walked(tmp_path: Path) -> None:
    (tmp_path / "node_modules" / "deep").mkdir(parents=True)
    for number in range(50):
        (tmp_path / "node_modules" / "deep" / f"{number}.md").write_text("x")
    (tmp_path / "a.md").write_text("x")
    selection = CorpusSelection(ignore=(PathPattern.parse("node_modules"),), max_files=2)
    assert walked(tmp_path, selection)[0] == ["a.md"]


def test_a_folder_that_cannot_be_listed_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "closed").mkdir()
    (tmp_path / "a.md").write_text("x")
    real = os.scandir

    def scandir(path: Path) -> object:
        if path.name == "closed":
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    names, findings = walked(tmp_path)
    assert names == ["a.md"]
    (told,) = findings.report().first_skipped
    assert (told.file, told.reason) == ("closed/", "cannot be read: Permission denied")


def test_a_report_is_bounded_however_much_is_found(tmp_path: Path) -> None:
    findings = CorpusReportBuilder()
    for number in range(100_000):
        findings.skip(f"{number}.md", "is bad")
        findings.ignore(f".{number}")
        findings.guess(f"{number}.md", "windows-1252")
    report = findings.report()
    assert (report.skipped, len(report.first_skipped)) == (100_000, MAX_NAMED)
    assert (report.guessed, len(report.first_guessed)) == (100_000, MAX_NAMED)
    assert (report.ignored, len(report.ignored_kinds)) == (100_000, 20)
    assert str(findings.error()).endswith("19.md: is bad; and 99,980 more")


def test_a_whole_corpus_is_read_or_everything_bad_is_named(tmp_path: Path) -> None:
    (tmp_path / "corpus").mkdir()
    settings = IndexSettings("facts", tmp_path / "corpus")
    (tmp_path / "corpus" / "a.md").write_text("x")
    (tmp_path / "corpus" / "many.jsonl").write_text('{"id": "b", "text": "y"}\n')
    assert [document.id for document in documents_of_corpus(settings)] == ["a", "b"]
    (tmp_path / "corpus" / "many.jsonl").write_text('{"id": "a", "text": "y"}\n')
    with pytest.raises(DocumentRejected, match=r"^many\.jsonl:1: document 'a' is a\.md already"):
        list(documents_of_corpus(settings))
    with pytest.raises(FailedPrecondition, match="no corpus folder"):
        walked(tmp_path / "nowhere")
