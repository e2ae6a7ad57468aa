"""Files as documents."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path, PurePath
from typing import Any, BinaryIO

import pytest

from trivet.retrieval.corpus.files import FileReader, FoundDocument, RefusedPart, documents_of_file, parse_time
from trivet.retrieval.corpus.safe_open import read_at_most
from trivet.stores.records import DocumentKey
from trivet.types.passage import Document, DocumentFormat


def written(folder: Path, *lines: object) -> Path:
    """A file of these lines; text as it is, anything else as JSON."""
    path = folder / "facts.jsonl"
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines) + "\n")
    return path


def parts(path: Path, name: str = "sub/facts.jsonl", **reader: Any) -> list[FoundDocument | RefusedPart]:
    return list(documents_of_file(path, PurePath(name), FileReader(**reader)))


def read(path: Path) -> list[Document]:
    """All documents of a good file."""
    found = [part for part in parts(path) if isinstance(part, FoundDocument)]
    assert len(found) == len(parts(path))
    return [part.document for part in found]


def refused(path: Path, name: str = "sub/facts.jsonl", **reader: Any) -> RefusedPart:
    """The last part of a bad file."""
    part = parts(path, name, **reader)[-1]
    assert isinstance(part, RefusedPart)
    return part


def test_lines_with_an_id_are_documents(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        {"id": "a", "text": "Ask early."},
        "",
        {
            "id": "b/c",
            "content": "# B\n\nText.",
            "format": "markdown",
            "title": "T",
            "tags": ["x", "y"],
            "tenant": "acme",
            "valid_from": "2026-01-01T00:00:00Z",
            "valid_until": "2026-02-01T01:00:00+01:00",
            "source": "https://example.com/b",
        },
        {"id": "a", "tenant": "acme", "question": "How?", "answer": "So."},
    )
    assert read(path) == [
        Document("a", b"Ask early.", DocumentFormat.TEXT, source="sub/facts.jsonl"),
        Document(
            "b/c", b"# B\n\nText.", DocumentFormat.MARKDOWN, "T", "https://example.com/b", ("x", "y"), "acme",
            1767225600.0, 1769904000.0,
        ),
        Document(
            "a", b'{"question": "How?", "answer": "So."}', DocumentFormat.JSON_LINES, source="sub/facts.jsonl",
            tenant="acme",
        ),
    ]  # fmt: skip


def test_lines_without_an_id_are_passages_of_one_document(tmp_path: Path) -> None:
    path = written(tmp_path, {"text": "One."}, {"text": "Two."})
    assert read(path) == [Document("sub/facts", path.read_bytes(), DocumentFormat.JSON_LINES, source="sub/facts.jsonl")]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("{", "not JSON"),
        ("[]", "a JSON list, expected an object"),
        ('{"id": "b", "id": "c", "text": "x"}', "given twice"),
        ({"text": "x"}, "no 'id'"),
        ({"id": "../b", "text": "x"}, "document id"),
        ({"id": "b"}, "expected exactly one of text"),
        ({"id": "b", "text": "x", "content": "x"}, "expected exactly one of text"),
        ({"id": "b", "question": "x"}, "expected exactly one of text"),
        ({"id": "b", "text": 5}, "'text' is not a string"),
        ({"id": "b", "text": "x", "tags": "y"}, "'tags' is not a list"),
        ({"id": "b", "text": "x", "tags": ["y" * 129]}, "tag 'yyy"),
        ({"id": "b", "text": "x", "tenant": "B Ltd"}, "tenant 'B Ltd'"),
        ({"id": "b", "text": " "}, "is empty"),
        ({"id": "b", "text": "x", "tag": "y"}, "unknown field 'tag'"),
        ({"id": "b", "text": "x", "format": "pdf"}, "format 'pdf', expected one of text"),
        ({"id": "b", "text": "x", "valid_from": "2026-01-01"}, "valid_from is '2026-01-01', expected a time"),
    ],
)
def test_a_bad_line_is_named_and_the_others_are_read(tmp_path: Path, line: object, problem: str) -> None:
    path = written(tmp_path, {"id": "a", "text": "x"}, line, {"id": "c", "text": "z"})
    one, bad, other = parts(path)
    assert isinstance(one, FoundDocument)
    assert isinstance(other, FoundDocument)
    assert [one.document.id, other.document.id] == ["a", "c"]
    assert isinstance(bad, RefusedPart)
    assert bad.where == "sub/facts.jsonl:2"
    assert re.search(problem, bad.problem)
    told = isinstance(line, dict) and line.get("id") == "b" and "tenant" not in line
    assert bad.key == (DocumentKey("", "b") if told else None)


def test_a_bad_first_line_does_not_hide_the_others(tmp_path: Path) -> None:
    bad, good = parts(written(tmp_path, "{", {"id": "a", "text": "x"}))
    assert isinstance(good, FoundDocument)
    assert isinstance(bad, RefusedPart)
    assert bad.where == "sub/facts.jsonl:1"


def test_lines_that_are_no_unicode_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "facts.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"id": "a", "text": "half \\ud800"}\n')
    assert "not UTF-8" in refused(path).problem
    path.write_bytes(b'{"id": "a", "text": "x"}\n{"id": "b", "text": "\xff"}')
    assert "invalid start byte" in refused(path).problem


def test_a_line_that_is_too_long_is_passed_over_without_being_kept(tmp_path: Path) -> None:
    path = written(tmp_path, {"id": "a", "text": "x"}, {"id": "b", "text": "y" * 200_000}, {"id": "c", "text": "z"})
    _, bad, other = parts(path, max_bytes=100)
    assert isinstance(bad, RefusedPart)
    assert (bad.where, bad.problem) == ("sub/facts.jsonl:2", "a line of more than 66136 bytes")
    assert isinstance(other, FoundDocument)
    assert other.where == "sub/facts.jsonl:3"


def test_other_files_are_one_document(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("x")
    assert parts(tmp_path / "a.md", "a.md") == [
        FoundDocument("a.md", Document("a", b"x", DocumentFormat.MARKDOWN, source="a.md"))
    ]
    missing = refused(tmp_path / "b.md", "b.md")
    assert missing == RefusedPart("b.md", "cannot be read: No such file or directory", DocumentKey("", "b"))
    assert "expected one of the endings" in refused(tmp_path / "a.doc", "a.doc").problem


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "a.md").open("wb") as file:
        file.truncate(1 << 40)  # a hole
    assert refused(tmp_path / "a.md", "a.md", max_bytes=100).problem.startswith(
        "document 'a' has 1099511627776 bytes, expected at most 100: split it, or raise max_document_bytes"
    )


def test_what_a_file_was_taken_for_is_said(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_bytes("# Größe\n\nDie Höhe des Möbelstücks.".encode("cp1252"))
    (found,) = parts(tmp_path / "a.md", "a.md")
    assert isinstance(found, FoundDocument)
    assert (found.document.content.decode(), found.guessed) == (
        "# Größe\n\nDie Höhe des Möbelstücks.",
        "windows-1252",
    )
    (found,) = parts(tmp_path / "a.md", "a.md", encoding="cp1251")
    assert isinstance(found, FoundDocument)
    assert "Größe" not in found.document.content.decode()


def test_a_special_file_is_refused_at_once_without_being_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.md")  # opening it to read would wait for a writer
    assert refused(tmp_path / "a.md", "a.md").problem == "is not a regular file"
    (tmp_path / "b.md").symlink_to("/dev/zero")
    assert refused(tmp_path / "b.md", "b.md").problem == "is not a regular file"


def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.md"
    path.write_text("old")

    def read_and_grow(file: BinaryIO, most: int) -> bytes | None:
        content = read_at_most(file, most)
        path.write_text("old and new")
        return content

    monkeypatch.setattr("trivet.retrieval.corpus.files.read_at_most", read_and_grow)
    assert refused(path, "a.md").problem == "was changed while it was read"


def test_a_file_of_lines_that_grows_for_ever_is_read_to_where_it_was(tmp_path: Path) -> None:
    path = written(tmp_path, {"id": "a", "text": "x"}, {"id": "b", "text": "y"})
    found = []
    for part in documents_of_file(path, PurePath("facts.jsonl")):
        found.append(part)
        assert len(found) < 10
        with path.open("a") as file:
            file.write('{"id": "more", "text": "z"}\n')
    assert [part.where for part in found] == ["facts.jsonl:1", "facts.jsonl:2", "facts.jsonl"]
    assert isinstance(found[-1], RefusedPart)
    assert found[-1].problem == "was changed while it was read"


def test_times_need_a_zone() -> None:
    assert parse_time("1970-01-01T00:00:01.5Z") == 1.5
    for wrong in ("2026-01-01T00:00:00", "yesterday", ""):
        with pytest.raises(ValueError, match="expected a time like"):
            parse_time(wrong)
