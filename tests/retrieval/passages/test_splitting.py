"""Documents as passages that the embedding model sees whole."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from tests.support.retrieval.documents import markdown
from tests.support.retrieval.word_tokens import WordTokens
from trivet.errors import DocumentRejected, FailedPrecondition
from trivet.retrieval.embedding.embedding import OnnxEmbedder
from trivet.retrieval.passages.splitting import Splitter
from trivet.retrieval.settings import EmbeddingSettings, IndexSettings
from trivet.types.passage import Document, DocumentFormat

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.embedding]

ALPHABETS = [
    "abc defgh. ijk, ",
    "漢字かな。",
    "😀🏽 ",
    "\n\n- x ",
    "Supercalifragilistic",
    "1.5e-7;",
    "\t|",
    "ﬁ\u0301é ",
]


def splitter(settings: IndexSettings, embedder: OnnxEmbedder) -> Splitter:
    return Splitter(settings, embedder.model, embedder.room)


async def test_no_passage_exceeds_the_limit_and_nothing_is_lost(
    settings: IndexSettings, embedder: OnnxEmbedder
) -> None:
    draw = random.Random(1)
    for pack in (True, False):
        for limit in (16, 60, 246):
            split = splitter(replace(settings, chunk_tokens=limit, pack=pack), embedder).split
            for alphabet in (*ALPHABETS, "".join(ALPHABETS)):
                text = "".join(draw.choice(alphabet) for _ in range(1500)) + " end"
                chunks = split(Document("d", text.encode(), DocumentFormat.TEXT, title="T" * 2000))
                assert [chunk.n for chunk in chunks] == list(range(len(chunks)))
                for chunk in chunks:
                    assert chunk.n_tokens == len(embedder.model.tokens(chunk.text)) <= limit
                    assert len(embedder.model.tokens(chunk.embedded)) <= embedder.room
                    assert text[chunk.start : chunk.end] == chunk.text
                assert "".join("".join(chunk.text for chunk in chunks).split()) == "".join(text.split())


async def test_a_paragraph_is_a_passage_or_paragraphs_share_one(
    settings: IndexSettings, embedder: OnnxEmbedder
) -> None:
    text = "# Leave\n\nOne.\n\nTwo.\n\n## Sick\n\nThree.\n \nFour."
    alone = splitter(replace(settings, pack=False), embedder).split(markdown("d", text))
    assert [(chunk.title, chunk.text) for chunk in alone] == [
        ("Leave", "One."),
        ("Leave", "Two."),
        ("Leave > Sick", "Three."),
        ("Leave > Sick", "Four."),
    ]
    packed = splitter(replace(settings, pack=True), embedder).split(markdown("d", text))
    assert [chunk.text for chunk in packed] == ["One.\n\nTwo.", "Three.\n \nFour."]


async def test_a_long_paragraph_is_split_between_sentences(settings: IndexSettings, embedder: OnnxEmbedder) -> None:
    sentences = [f"Sentence number {n} is about the matter of travelling, which is a long one." for n in range(12)]
    chunks = splitter(settings, embedder).split(markdown("d", " ".join(sentences)))
    assert len(chunks) > 2
    assert all(chunk.text.endswith("one.") and chunk.text.startswith("Sentence") for chunk in chunks)


async def test_titles(settings: IndexSettings, embedder: OnnxEmbedder) -> None:
    split = splitter(settings, embedder).split
    assert split(markdown("travel/visa", "Text."))[0].title == "visa"
    assert split(replace(markdown("d", "# Own\n\nText."), title="Given"))[0].title == "Given > Own"
    html = Document("d", b"<title>Page</title><p>Text.</p>", DocumentFormat.HTML)
    assert split(html)[0].title == "Page"


async def test_a_document_without_text_is_rejected(settings: IndexSettings, embedder: OnnxEmbedder) -> None:
    split = splitter(settings, embedder).split
    for empty in (markdown("d", "# Only a heading"), Document("d", b"<p> </p>", DocumentFormat.HTML)):
        with pytest.raises(DocumentRejected, match="has no text"):
            split(empty)


@pytest.mark.parametrize("tokens", [0, 15, 247, 100_000])
async def test_a_size_that_the_model_cannot_see_is_refused(
    tokens: int, settings: IndexSettings, embedder: OnnxEmbedder
) -> None:
    with pytest.raises(FailedPrecondition, match="expected 16 to 246"):
        splitter(replace(settings, chunk_tokens=tokens), embedder)


async def test_overlap_repeats_whole_words_of_the_passage_before(settings: IndexSettings) -> None:
    text = "\n\n".join(" ".join(f"w{n}x{m}" for m in range(12)) for n in range(8))
    overlapping = replace(settings, chunk_tokens=20, overlap=6, pack=True)
    chunks = Splitter(overlapping, WordTokens(), 256).split(Document("d", text.encode(), DocumentFormat.TEXT))
    assert len(chunks) > 4
    for before, after in pairwise(chunks):
        assert text[after.start : after.end] == after.text
        assert after.n_tokens <= 20
        assert before.start < after.start < before.end < after.end
        assert text[after.start - 1].isspace()
        assert len(text[after.start : before.end].split()) <= 6
    with pytest.raises(FailedPrecondition, match="overlap is 11, expected at most half of max_tokens, 10"):
        Splitter(replace(overlapping, overlap=11), WordTokens(), 256)


async def test_a_snapshot_without_overlap_and_with_headings_keeps_its_name(settings: IndexSettings) -> None:
    assert settings.way().keys().isdisjoint({"overlap", "headings"})
    other = replace(settings, overlap=8, headings=False)
    assert other.way()["overlap"] == 8
    assert not other.in_way(other.way()).headings
    back = other.in_way({**settings.way(), "model": None})
    assert (back.overlap, back.headings) == (0, True)


@pytest.mark.parametrize("model", [None, "hub:org/name@v1", Path("/models/own")])
async def test_a_way_names_the_model_as_the_settings_do(settings: IndexSettings, model: Path | str | None) -> None:
    """Otherwise it would be opened twice."""
    configured = replace(settings, embedding=EmbeddingSettings(model))
    assert configured.in_way(configured.way()).embedding == configured.embedding
