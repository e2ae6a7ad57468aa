"""JSON lines: passages that were cut elsewhere, and examples."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from trivet.errors import DocumentRejected
from trivet.retrieval.embedding.embedding import OnnxEmbedder
from trivet.retrieval.passages.json_lines import MAX_LINES, Line, read_lines
from trivet.retrieval.passages.splitting import Chunk, Splitter
from trivet.retrieval.settings import IndexSettings
from trivet.types.passage import Document, DocumentFormat


def lines(*values: object) -> Document:
    return Document("docs/d", "\n".join(map(json.dumps, values)).encode(), DocumentFormat.JSON_LINES)


def test_lines() -> None:
    content = '{"text": " a\\r\\nb ", "title": " T \\n U "}\n\n{"question": " q ", "answer": "r"}\n'
    assert list(read_lines(content)) == [
        Line("a\nb", "T U"),
        Line('{"question": " q ", "answer": "r"}', question="q"),
    ]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ('{"text": 1}', "'text' is not a string"),
        ('{"text": " "}', "'text' is empty"),
        ('{"text": "\\ud800"}', "half a surrogate pair"),
        ('{"text": "\\u0000"}', "NUL"),
        ('{"question": "q"}', "has question; expected text"),
        ('{"question": "q", "answer": ""}', "is empty"),
        ('{"text": "t", "id": "x"}', "has id, text; expected"),
        ("[" * 100_000, "nested too deeply|not JSON"),
        ('"text"', "a JSON str, expected an object"),
        ("text", "not JSON"),
    ],
)
def test_a_bad_line_is_named(line: str, problem: str) -> None:
    with pytest.raises(DocumentRejected, match=f"line 2: .*({problem})"):
        list(read_lines('{"text": "t"}\n' + line))


def test_their_number_is_bounded() -> None:
    with pytest.raises(DocumentRejected, match="more than 10,000 lines"):
        list(read_lines("\n" * (MAX_LINES + 1)))


@pytest.mark.embedding
@pytest.mark.asyncio(loop_scope="module")
async def test_each_line_is_a_passage_of_its_own(settings: IndexSettings, embedder: OnnxEmbedder) -> None:
    long = "Travel is booked through the portal. " * 20  # more than chunk_tokens, less than the model sees
    beyond = "Travel is booked through the portal. " * 80
    document = lines({"text": "a\n\nb"}, {"text": "c", "title": "T"}, {"text": long}, {"text": beyond})
    for pack in (True, False):
        chunks = Splitter(replace(settings, pack=pack), embedder.model, embedder.room).split(document)
        assert [(chunk.title, chunk.text) for chunk in chunks[:2]] == [("d", "a\n\nb"), ("d > T", "c")]
        assert chunks[2].text == long.strip()
        assert "".join("".join(chunk.text for chunk in chunks[3:]).split()) == "".join(beyond.split())
        assert len(chunks) > 4
        text = "\n\n".join(["a\n\nb", "c", long.strip(), beyond.strip()])
        for chunk in chunks:
            assert text[chunk.start : chunk.end] == chunk.text
            assert len(embedder.model.tokens(chunk.embedded)) <= embedder.room


@pytest.mark.embedding
@pytest.mark.asyncio(loop_scope="module")
async def test_an_example_is_found_by_its_question_alone(settings: IndexSettings, embedder: OnnxEmbedder) -> None:
    split = Splitter(settings, embedder.model, embedder.room).split
    answer = "So. " * 500  # never cut, however long
    (chunk,) = split(lines({"question": "How?", "answer": answer}))
    text = json.dumps({"question": "How?", "answer": answer})
    assert chunk == Chunk(0, "d", text, chunk.n_tokens, 0, len(text), "How?")
    assert chunk.embedded == "How?"
    with pytest.raises(DocumentRejected, match=r"document 'docs/d': a question has \d+ tokens, expected at most \d+"):
        split(lines({"question": "Why so? " * 300, "answer": "Yes."}))
