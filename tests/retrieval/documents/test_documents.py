"""What is accepted as a document."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from trivet.errors import DocumentRejected
from trivet.retrieval.documents.documents import check_about, check_document, digest_of, text_of
from trivet.types.passage import Document, DocumentFormat

GOOD = Document("travel/visa", b"Ask early.", DocumentFormat.TEXT)


def test_content_must_be_text_of_an_allowed_size() -> None:
    assert text_of(GOOD) == "Ask early."
    assert text_of(replace(GOOD, content=b"\xef\xbb\xbfbom")) == "bom"
    with pytest.raises(DocumentRejected, match=r"has 10 bytes, expected at most 9: .*max_document_bytes"):
        check_document(GOOD, 9)
    for wrong, problem in ((b"ab\xff", "byte 2 is invalid"), (b"a\0b", "NUL"), (b"", "is empty"), (b" \n", "is empty")):
        with pytest.raises(DocumentRejected, match=problem):
            check_document(replace(GOOD, content=wrong), 10)


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        ({"tenant": "Acme"}, "tenant 'Acme', expected 1 to 63 of a-z"),
        ({"tenant": "a!b"}, "tenant 'a!b'"),
        ({"tenant": "a" * 64}, "tenant 'aaa"),
        ({"tenant": "acme\n"}, r"tenant 'acme\\n'"),
        ({"tags": ("",)}, "tag '', expected 1 to 128 printable"),
        ({"tags": (" ",)}, "tag ' '"),
        ({"tags": ("x" * 129,)}, "tag 'xxx"),
        ({"tags": ("a\tb",)}, r"tag 'a\\tb'"),
        ({"tags": tuple(map(str, range(65)))}, "65 tags, expected at most 64"),
        ({"title": "x" * 513}, "title has 513 characters"),
        ({"title": "a\0"}, "title 'a.x00' is not text"),
        ({"source": "\ud800"}, "source '.ud800' is not text"),
    ],
)
def test_what_is_said_of_a_document_is_checked_and_quoted_in_short(wrong: dict[str, Any], problem: str) -> None:
    with pytest.raises(DocumentRejected, match=problem) as error:
        check_about(replace(GOOD, **wrong))
    assert len(str(error.value)) < 400


def test_names_and_tags_of_any_script_are_accepted() -> None:
    check_about(replace(GOOD, tenant="acme-2.eu_west", tags=("हिन्दी", "a/b: c!", "می‌خواهم", *map(str, range(61)))))


def test_a_validity_that_would_never_show_the_document_is_refused() -> None:
    check_document(replace(GOOD, valid_from=1.0, valid_until=2.0), 10)
    for first, last in ((2.0, 2.0), (3.0, 2.0)):
        with pytest.raises(DocumentRejected, match="valid_until is not after valid_from"):
            check_document(replace(GOOD, valid_from=first, valid_until=last), 10)
    with pytest.raises(DocumentRejected, match="valid_from is not a time"):
        check_document(replace(GOOD, valid_from=float("nan")), 10)


def test_a_pdf_is_known_by_its_first_bytes() -> None:
    pdf = replace(GOOD, format=DocumentFormat.PDF)
    check_document(replace(pdf, content=b"\xff\n%PDF-1.7 ..."), 100)
    with pytest.raises(DocumentRejected, match="is not a PDF"):
        check_document(pdf, 100)
    with pytest.raises(DocumentRejected, match="has 11 bytes, expected at most 9"):
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
