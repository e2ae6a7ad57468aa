"""What is accepted as a document."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path, PurePath

import pytest

from trivet.errors import DocumentRejected, FailedPrecondition
from trivet.retrieval.documents.corpus import corpus_files, read_documents, rejected
from trivet.retrieval.documents.documents import check_document, check_id, digest_of, id_of_file, text_of
from trivet.types.passage import Document, DocumentFormat

GOOD = Document("travel/visa", b"Ask early.", DocumentFormat.TEXT)


@pytest.mark.parametrize("document_id", ["a", "travel/visa", "v1.2/FAQ no 3", "über-uns", "1", "x" * 255, "a:b@c+d"])
def test_ids_that_are_accepted(document_id: str) -> None:
    check_id(document_id)


@pytest.mark.parametrize(
    "document_id",
    ["", "/a", "a/", "a//b", "../a", "a/../b", "a/./b", ".hidden", "a\n", "a\0b", " a", "a ", "x" * 256, "a\\b", "a*"],
)
def test_ids_that_are_not(document_id: str) -> None:
    with pytest.raises(DocumentRejected, match="document id"):
        check_id(document_id)


def test_content_must_be_text_of_an_allowed_size() -> None:
    assert text_of(GOOD, 10) == "Ask early."
    assert text_of(replace(GOOD, content=b"\xef\xbb\xbfbom"), 10) == "bom"
    with pytest.raises(DocumentRejected, match="has 10 bytes, allowed are 9"):
        text_of(GOOD, 9)
    with pytest.raises(DocumentRejected, match="byte 2 is invalid"):
        text_of(replace(GOOD, content=b"ab\xff"), 10)
    with pytest.raises(DocumentRejected, match="NUL"):
        text_of(replace(GOOD, content=b"a\0b"), 10)
    for nothing in (b"", b" \n\t "):
        with pytest.raises(DocumentRejected, match="is empty"):
            text_of(replace(GOOD, content=nothing), 10)


def test_a_validity_that_would_never_show_the_document_is_refused() -> None:
    check_document(replace(GOOD, valid_from=1.0, valid_until=2.0), 10)
    for first, last in ((2.0, 2.0), (3.0, 2.0)):
        with pytest.raises(DocumentRejected, match="valid_until is not after valid_from"):
            check_document(replace(GOOD, valid_from=first, valid_until=last), 10)
    with pytest.raises(DocumentRejected, match="valid_from is no time"):
        check_document(replace(GOOD, valid_from=float("nan")), 10)


def test_a_pdf_is_known_by_its_first_bytes() -> None:
    pdf = replace(GOOD, format=DocumentFormat.PDF)
    check_document(replace(pdf, content=b"\xff\n%PDF-1.7 ..."), 100)
    with pytest.raises(DocumentRejected, match="is no PDF"):
        check_document(pdf, 100)
    with pytest.raises(DocumentRejected, match="has 11 bytes, allowed are 9"):
        check_document(replace(pdf, content=b"%PDF-1.7 .."), 9)


def test_the_digest_covers_all_that_a_search_can_see() -> None:
    others = [
        replace(GOOD, content=b"Ask late."),
        replace(GOOD, format=DocumentFormat.MARKDOWN),
        replace(GOOD, title="Visa"),
        replace(GOOD, source="visa.txt"),
        replace(GOOD, tags=("a",)),
        replace(GOOD, tenant="acme"),
        replace(GOOD, valid_from=1.0),
        replace(GOOD, valid_until=1.0),
    ]
    assert len({digest_of(one) for one in (GOOD, *others)}) == 9
    assert digest_of(replace(GOOD, tags=("a", "b"))) == digest_of(replace(GOOD, tags=("b", "a", "b")))


def test_a_files_id_is_its_path_without_the_ending() -> None:
    assert id_of_file(PurePath("travel/visa.md")) == "travel/visa"
    assert id_of_file(PurePath("v1.2.html")) == "v1.2"


def test_a_corpus_with_many_bad_files_says_how_many() -> None:
    message = str(rejected([f"problem {number}" for number in range(23)]))
    assert message.startswith("23 problems in the corpus: problem 0; problem 1;")
    assert message.endswith("problem 19; and 3 more")


def test_corpus_files(tmp_path: Path) -> None:
    for name in ("b.md", "a.txt", "sub/c.HTML", ".hidden.md", ".git/d.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    assert list(corpus_files(tmp_path)) == ["a", "b", "sub/c"]
    (document,) = read_documents(tmp_path, tmp_path / "sub/c.HTML")
    assert document == Document("sub/c", b"sub/c.HTML", DocumentFormat.HTML, source="sub/c.HTML")
    (tmp_path / "a.html").write_text("again")
    with pytest.raises(DocumentRejected, match=r"'a': a\.html and a\.txt"):
        corpus_files(tmp_path)
    (tmp_path / "a.html").rename(tmp_path / "a.doc")
    with pytest.raises(DocumentRejected, match=r"a\.doc: expected one of the endings \.md"):
        corpus_files(tmp_path)
    with pytest.raises(FailedPrecondition, match="no corpus folder"):
        corpus_files(tmp_path / "nowhere")
