"""Models that are not the packaged one: small ones of several kinds, made here."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trivet.errors import FailedPrecondition
from trivet.model_hub import HubReference
from trivet.retrieval.embedding import export as export_module
from trivet.retrieval.embedding.embedding import OnnxEmbedder
from trivet.retrieval.embedding.export import export
from trivet.retrieval.embedding.models import _digest
from trivet.retrieval.embedding.onnx_model import OnnxModel
from trivet.retrieval.model_export.files import DESCRIPTION
from trivet.retrieval.settings import EmbeddingSettings, Precision

pytestmark = [pytest.mark.embedding, pytest.mark.timeout(600)]  # exports are slow on a busy machine

DIMENSION = 32
TEXTS = ["A question of Leave", "", " ", "word", "Ünïcode 漢字 — déjà vu", "longer than its window " * 50]


def transformer(folder: Path, kind: str = "Bert") -> Any:
    """A transformer with random weights and a tokenizer of letters."""
    import torch
    import transformers
    from sentence_transformers.sentence_transformer.modules import Transformer
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    torch.manual_seed(11)
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = ["<pad>", "<unk>", "<s>", "</s>", *letters, *(f"##{letter}" for letter in letters)]
    tokenizer = Tokenizer(models.WordPiece({word: n for n, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("</s>", 3), ("<s>", 2))
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", unk_token="<unk>", cls_token="<s>", sep_token="</s>"
    )
    config = getattr(transformers, f"{kind}Config")(
        vocab_size=len(words),
        hidden_size=DIMENSION,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=80,
        pad_token_id=0,
        initializer_range=0.3,
    )
    fast.save_pretrained(folder)
    getattr(transformers, f"{kind}Model")(config).save_pretrained(folder)
    return Transformer(str(folder), max_seq_length=64)


def save(folder: Path, *modules: Any, **changes: Any) -> Path:
    """The model's folder."""
    from sentence_transformers import SentenceTransformer

    SentenceTransformer(modules=list(modules), device="cpu", **changes).save(
        str(folder / "model"), create_model_card=False
    )
    return folder / "model"


def vectors(model: Path, texts: Sequence[str], **options: Any) -> Any:
    """As the original gives them."""
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(model), device="cpu").encode(
        list(texts), batch_size=1, normalize_embeddings=True, convert_to_numpy=True, **options
    )


def mean(folder: Path) -> Path:
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling

    return save(folder, transformer(folder / "bert"), Pooling(DIMENSION, "mean"), Normalize())


def cls_with_prompts(folder: Path) -> Path:
    from sentence_transformers.sentence_transformer.modules import Pooling

    prompts = {"query": "query: ", "document": "passage: "}
    return save(folder, transformer(folder / "bert"), Pooling(DIMENSION, "cls"), prompts=prompts)


def maximum_and_dense(folder: Path) -> Path:
    from sentence_transformers.sentence_transformer.modules import Dense, LayerNorm, Pooling

    pooling = Pooling(DIMENSION, ("max", "mean"))
    return save(folder, transformer(folder / "bert"), pooling, Dense(2 * DIMENSION, 24), LayerNorm(24))


def roberta(folder: Path) -> Path:
    from sentence_transformers.sentence_transformer.modules import Pooling

    return save(folder, transformer(folder / "roberta", "Roberta"), Pooling(DIMENSION, "mean"))


@pytest.mark.parametrize("make", [mean, cls_with_prompts, maximum_and_dense, roberta])
def test_an_exported_model_gives_the_originals_vectors(make: Callable[[Path], Path], tmp_path: Path) -> None:
    model = make(tmp_path)
    description = exported_like_original(model, "float32", tmp_path / "export", 1e-5)
    assert description["float32_max_difference"] <= 1e-5
    assert description["checked_texts"] >= 10


def test_an_export_in_int8_is_near_the_original_and_says_how_near(tmp_path: Path) -> None:
    description = exported_like_original(mean(tmp_path), "int8", tmp_path / "export", 0.2)
    assert description["float32_max_difference"] <= 1e-5
    assert 0.97 < description["min_cosine"] < 0.99999


def exported_like_original(model: Path, precision: str, target: Path, most: float) -> dict[str, Any]:
    """The description of the export, after comparing vectors."""
    export(model, precision, target)
    expected, exported = vectors(model, TEXTS), OnnxModel.open(target)
    assert max(np.abs(exported.embed(t) - wanted).max() for t, wanted in zip(TEXTS, expected, strict=True)) < most
    description: dict[str, Any] = json.loads((target / DESCRIPTION).read_text())
    assert description["dimension"] == expected.shape[1]
    assert description["window"] == 64
    return description


async def test_a_model_by_its_path_brings_its_dimension_its_prompts_and_a_fingerprint(tmp_path: Path) -> None:
    model = await asyncio.to_thread(cls_with_prompts, tmp_path)
    settings = EmbeddingSettings(model, Precision.FLOAT32)
    embedder = await OnnxEmbedder.open(settings, tmp_path / "cache")
    assert (embedder.name, embedder.dimension) == ("model", DIMENSION)
    for embedded, prompt in (
        (await embedder.embed_query("leave"), "query: "),
        ((await embedder.embed_passages(["leave"]))[0], "passage: "),
    ):
        assert np.abs(embedded - vectors(model, [prompt + "leave"])[0]).max() < 1e-5
    embedder.close()
    again = await OnnxEmbedder.open(settings, tmp_path / "cache")  # from the cache
    assert again.fingerprint == embedder.fingerprint != embedder.digest == again.digest
    again.close()
    config = model / "config_sentence_transformers.json"
    text = await asyncio.to_thread(config.read_text)
    await asyncio.to_thread(config.write_text, text.replace("passage: ", "document: "))
    assert await asyncio.to_thread(_digest, "model", model) != embedder.digest


def test_an_export_that_differs_from_its_model_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = mean(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(export_module, "_MAX_DIFFERENCE", 1e-12)
        with pytest.raises(ValueError, match="differs from the model by"):
            export(model, "float32", tmp_path / "target")
    monkeypatch.setattr(export_module, "_MIN_COSINE", 0.9999999)
    with pytest.raises(ValueError, match="int8 graph has cosine"):
        export(model, "int8", tmp_path / "target")
    assert not (tmp_path / "target").exists()
    assert not list(tmp_path.glob(".export-*"))


def test_modules_that_it_does_not_know_are_refused_by_name(tmp_path: Path) -> None:
    from sentence_transformers.sentence_transformer.modules import LSTM, Pooling

    model = save(tmp_path, transformer(tmp_path / "bert"), LSTM(DIMENSION, 8), Pooling(16, "mean"))
    with pytest.raises(ValueError, match=r"'LSTM'.*expected Transformer and Pooling"):
        export(model, "float32", tmp_path / "target")
    (tmp_path / "other").mkdir()
    prompts = {"query": "query: "}
    instructed = Pooling(DIMENSION, "mean", include_prompt=False)
    model = save(tmp_path / "other", transformer(tmp_path / "other" / "bert"), instructed, prompts=prompts)
    with pytest.raises(ValueError, match="leaves out the prompt"):
        export(model, "float32", tmp_path / "target")


async def test_a_model_by_its_hub_name_is_fetched_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    model = await asyncio.to_thread(mean, tmp_path)
    asked: list[tuple[str, str | None]] = []

    def download(name: str, *, revision: str | None, local_dir: Path, **_patterns: Any) -> str:
        asked.append((name, revision))
        shutil.copytree(model, local_dir, dirs_exist_ok=True)
        if name == "acme/broken":
            raise ConnectionError("the line is cut")
        return str(local_dir)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    for _ in range(2):
        settings = EmbeddingSettings("hub:acme/tiny@v1.0", Precision.FLOAT32)
        embedder = await OnnxEmbedder.open(settings, tmp_path / "cache")
        assert (embedder.name, embedder.dimension) == ("acme/tiny", DIMENSION)
        embedder.close()
    assert asked == [("acme/tiny", "v1.0")]
    with pytest.raises(FailedPrecondition, match=r"'acme/broken' cannot be fetched .*: the line is cut"):
        await OnnxEmbedder.open(EmbeddingSettings("hub:acme/broken"), tmp_path / "cache")
    left = sorted(path.name for path in (tmp_path / "cache" / "hub").iterdir())
    assert left == ["acme--tiny@v1.0"], "nothing half fetched"


@pytest.mark.parametrize("name", ["hub:", "hub:a/b/c", "hub:a/b@", "hub:a b/c"])
def test_what_is_no_hub_name_is_refused(name: str) -> None:
    with pytest.raises(FailedPrecondition, match="expected hub:"):
        HubReference.parse(name)


def test_a_hub_name_leads_to_no_other_folder() -> None:
    for name in ("hub:../up", "hub:..", "hub:a/b@../../up"):
        folder = HubReference.parse(name).folder
        assert "/" not in folder
        assert folder != ".."
