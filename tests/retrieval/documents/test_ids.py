"""Ids of documents, and files' names as ids."""

from __future__ import annotations

import os
import time
import unicodedata
from pathlib import PurePath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivet.errors import DocumentRejected
from trivet.retrieval.documents.ids import MAX_ID, check_id, escaped, id_of_file, printable

NAMES = {
    "Price list (2024).txt": "Price list (2024)",
    "हिन्दी मूल्य सूची.md": "हिन्दी मूल्य सूची",
    "می‌خواهم.txt": "می‌خواهم",  # with a zero-width non-joiner, without which it is another word
    "travel/visa.md": "travel/visa",
    "v1.2.html": "v1.2",
    "cafe\u0301.md": "café",
    "Q&A: [draft] {x} *new*?.md": "Q&A: [draft] {x} *new*?",
    "100% wool!.md": "100%25 wool%21",
    "C#.md": "C%23",
    "tab\there.md": "tab%09here",
    "bidi\u202eoverride.md": "bidi%E2%80%AEoverride",
    "  padded  .md": "%20%20padded%20%20",
    "folder /a.md": "folder%20/a",
    os.fsdecode(b"caf\xe9.md"): "caf%E9",
    "...md": "%2E%2E",
    "a/..md": "a/%2E",
    "\u200b\u0301.md": "%E2%80%8B\u0301",
    "\u202c\u0301.md": "%E2%80%AC%CC%81",  # the mark would join the C
    "back\\slash.md": "back\\slash",
    "価格　表.txt": "価格　表",
}


@pytest.mark.parametrize("name", NAMES)
def test_a_files_id_is_its_path_without_the_ending_escaped(name: str) -> None:
    found = id_of_file(PurePath(name))
    assert found == NAMES[name]
    check_id(found)
    found.encode()


@given(st.text(min_size=1, max_size=300).filter(lambda name: "/" not in name and "\0" not in name))
def test_any_name_of_a_file_becomes_an_id(name: str) -> None:
    check_id(id_of_file(PurePath(name + ".md")))


@given(st.binary(min_size=1, max_size=60), st.binary(min_size=1, max_size=60))
def test_names_that_differ_have_ids_that_differ_but_for_their_normal_form(one: bytes, other: bytes) -> None:
    first, second = os.fsdecode(one), os.fsdecode(other)
    same = unicodedata.normalize("NFC", first) == unicodedata.normalize("NFC", second)
    assert (escaped(first) == escaped(second)) == same


def test_a_name_that_is_too_long_is_cut_and_told_apart_by_a_digest() -> None:
    folder = "x" * 253
    one, other = (id_of_file(PurePath(folder, name)) for name in ("one.md", "two.md"))
    assert len(id_of_file(PurePath("y" * MAX_ID + ".md"))) == MAX_ID
    assert len(one) == len(other) == MAX_ID
    assert one != other
    assert one.startswith("x" * 238 + "~")
    for length in range(230, 240):  # never within an escape
        check_id(id_of_file(PurePath("x" * length + "%" * 20 + ".md")))


@pytest.mark.parametrize(
    "document_id", ["a", "travel/visa", "v1.2/FAQ no 3", "über-uns", "1", "x" * 255, "a:b@c+d", ".env", "100%25", "(a)"]
)
def test_ids_that_are_accepted(document_id: str) -> None:
    check_id(document_id)


@pytest.mark.parametrize(
    ("document_id", "problem"),
    [
        ("", "has 0 characters"),
        ("x" * 256, "has 256 characters"),
        *((wrong, "empty part") for wrong in ("/a", "a/", "a//b", "../a", "a/../b", "a/./b", ".")),
        ("cafe\u0301", "normal form NFC"),
        ("100%", "expected '100%25'"),
        ("a%2g", "expected 'a%252g'"),
        ("a!b", "expected 'a%21b'"),
        ("a#b", "expected 'a%23b'"),
        ("a\n", "expected 'a%0A'"),
        (" a", "expected '%20a'"),
        ("a /b", "expected 'a%20/b'"),
        ("a\0b", "expected 'a%00b'"),
        ("a\ud800", "expected 'a%ED%A0%80'"),
        ("a\u2028b", "expected 'a%E2%80%A8b'"),
    ],
)
def test_ids_that_are_not(document_id: str, problem: str) -> None:
    with pytest.raises(DocumentRejected, match="document id") as error:
        check_id(document_id)
    assert problem in str(error.value)


def test_a_refusal_is_short_however_long_the_id() -> None:
    with pytest.raises(DocumentRejected) as error:
        check_id("\x00é" * 1_000_000)
    assert len(str(error.value)) < 1_000


def test_a_name_of_many_blanks_takes_time_in_proportion() -> None:
    def seconds(length: int) -> float:
        began = time.process_time()
        id_of_file(PurePath("a" + " " * length + "b.md"))
        return time.process_time() - began

    seconds(1_000)
    assert seconds(400_000) < 40 * max(seconds(40_000), 1e-3)


def test_passage_ids_can_be_taken_apart() -> None:
    for name in NAMES:
        document_id = id_of_file(PurePath(name))
        for tenant in ("", "acme"):
            passage = f"{tenant}{'!' if tenant else ''}{document_id}@3#14"
            of, _, number = passage.rpartition("#")
            owner_and_document, _, revision = of.rpartition("@")
            owner, mark, document = owner_and_document.rpartition("!")
            assert (owner, document if mark else owner_and_document) == (tenant, document_id)
            assert (revision, number) == ("3", "14")


def test_a_name_for_people_can_be_shown_and_keeps_what_can() -> None:
    assert printable("100% (new)!.md") == "100% (new)!.md"
    assert printable(os.fsdecode(b"caf\xe9\n.md")) == "caf%E9%0A.md"
