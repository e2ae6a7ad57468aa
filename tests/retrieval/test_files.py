"""Files as documents."""

from __future__ import annotations

import json
from pathlib import Path, PurePath

import pytest

from trivet.errors import DocumentRejected
from trivet.retrieval.documents.documents import text_of
from trivet.retrieval.documents.files import documents_of_file, parse_time
from trivet.types.passage import Document, DocumentFormat


def written(folder: Path, *lines: object) -> Path:
    """A file of these lines; text as it is, anything else as JSON."""
    path = folder / "facts.jsonl"
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines) + "\n")
    return path


def read(path: Path) -> list[Document]:
    return list(documents_of_file(path, PurePath("sub/facts.jsonl")))


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
        ({"id": "a", "text": "x"}, r"document 'a' stands at sub/facts\.jsonl:1"),
        ({"id": "../b", "text": "x"}, "document id"),
        ({"id": "b"}, "expected exactly one of text"),
        ({"id": "b", "text": "x", "content": "x"}, "expected exactly one of text"),
        ({"id": "b", "question": "x"}, "expected exactly one of text"),
        ({"id": "b", "text": 5}, "'text' is not a string"),
        ({"id": "b", "text": "x", "tags": "y"}, "'tags' is no list"),
        ({"id": "b", "text": "x", "tag": "y"}, "unknown field 'tag'"),
        ({"id": "b", "text": "x", "format": "pdf"}, "format 'pdf', expected one of text"),
        ({"id": "b", "text": "x", "valid_from": "2026-01-01"}, "valid_from is '2026-01-01', expected a time"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: object, problem: str) -> None:
    path = written(tmp_path, {"id": "a", "text": "x"}, line)
    with pytest.raises(DocumentRejected, match=r"^sub/facts\.jsonl:2: .*" + problem):
        read(path)


def test_text_that_is_no_unicode_is_refused_later_and_other_bytes_at_once(tmp_path: Path) -> None:
    path = tmp_path / "facts.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"id": "a", "text": "half \\ud800"}\n')
    with pytest.raises(DocumentRejected, match="not UTF-8"):
        text_of(read(path)[0], 100)
    path.write_bytes(b'{"id": "a", "text": "\xff"}')
    with pytest.raises(DocumentRejected, match=r"facts\.jsonl:1: .*invalid start byte"):
        read(path)


def test_other_files_are_one_document(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("x")
    (document,) = documents_of_file(tmp_path / "a.md", PurePath("a.md"))
    assert document == Document("a", b"x", DocumentFormat.MARKDOWN, source="a.md")
    with pytest.raises(DocumentRejected, match=r"b\.md cannot be read"):
        list(documents_of_file(tmp_path / "b.md", PurePath("b.md")))
    with pytest.raises(DocumentRejected, match=r"a\.doc: expected one of the endings"):
        list(documents_of_file(tmp_path / "a.doc", PurePath("a.doc")))


def test_times_need_a_zone() -> None:
    assert parse_time("1970-01-01T00:00:01.5Z") == 1.5
    for wrong in ("2026-01-01T00:00:00", "yesterday", ""):
        with pytest.raises(ValueError, match="expected a time like"):
            parse_time(wrong)
