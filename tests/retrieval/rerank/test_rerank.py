"""Reranking with a real, tiny cross-encoder, and with stand-ins where time is the point."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from trivet.errors import FailedPrecondition, RetrievalUnavailable
from trivet.retrieval.model_export.export import model_digest
from trivet.retrieval.rerank.rerank import Reranker, RerankingRetriever, RerankSettings
from trivet.testing import ScriptedRetriever
from trivet.types.passage import Passage, SearchQuery

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "lamp", "hub", "weighs", "red", "blue", "grams", "a"]


def make_cross_encoder(folder: Path, *, labels: int = 1, logits: float = 0.0) -> Path:
    """A BERT of a few thousand random weights with a score: a probability, or with `logits` a wide range."""
    import torch
    from sentence_transformers import CrossEncoder
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.WordPiece({word: n for n, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="[UNK]", pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]",
        mask_token="[MASK]", model_max_length=64, model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )  # fmt: skip
    torch.manual_seed(1)
    config = BertConfig(
        vocab_size=len(WORDS), hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=64, num_labels=labels, initializer_range=0.5,
    )  # fmt: skip
    bert = BertForSequenceClassification(config)
    if logits:
        bert.classifier.weight.data *= logits
    bert.save_pretrained(folder / "raw")
    fast.save_pretrained(folder / "raw")
    activation = torch.nn.Identity() if logits else torch.nn.Sigmoid()
    CrossEncoder(str(folder / "raw"), device="cpu", activation_fn=activation).save_pretrained(str(folder / "model"))
    return folder / "model"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_cross_encoder(tmp_path_factory.mktemp("cross-encoder"))


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where exported models are: an export takes its time."""
    return tmp_path_factory.mktemp("exported")


@pytest_asyncio.fixture
async def reranker(model: Path, exported: Path) -> AsyncIterator[Reranker]:
    reranker = await Reranker.open(RerankSettings(model, candidates=4), exported)
    yield reranker
    reranker.close()


def passage(document: str, text: str, score: float = 0.5, n: int = 0) -> Passage:
    return Passage(f"{document}@1#{n}", document, "a", text, score, 1, similarity=0.4)


PASSAGES = tuple(
    passage(f"d{n}", text, 1 / (n + 1))
    for n, text in enumerate(["red lamp", "blue hub", "hub weighs grams", "lamp weighs grams", "red red", "blue"])
)


@pytest.mark.embedding
@pytest.mark.timeout(600)
async def test_scores_are_the_models_own(model: Path, exported: Path) -> None:
    from sentence_transformers import CrossEncoder

    question = "lamp weighs"
    expected = CrossEncoder(str(model), device="cpu").predict([(question, f"a\n{one.text}") for one in PASSAGES])
    for precision, tolerance in (("float32", 1e-3), ("int8", 0.1)):
        reranker = await Reranker.open(RerankSettings(model, precision=precision), exported)
        assert await reranker.scores(question, PASSAGES) == pytest.approx(list(expected), abs=tolerance)
        reranker.close()


def difference(exported: Path, model: Path) -> float:
    """How far the samples' scores are from the original's, as the export has it."""
    (path,) = exported.glob(f"{model_digest(model)[:16]}*/export.json")
    return float(json.loads(path.read_text())["max_difference"])


@pytest.mark.embedding
@pytest.mark.timeout(600)
async def test_raw_logits_may_differ_by_their_range(tmp_path: Path, exported: Path) -> None:
    """Cross-encoders trained on rankings give no probabilities but numbers from some -11 to 11."""
    folder = make_cross_encoder(tmp_path, logits=20.0)
    reranker = await Reranker.open(RerankSettings(folder), exported)
    scores = await reranker.scores("lamp weighs", PASSAGES)
    reranker.close()
    assert max(scores) - min(scores) > 2
    assert difference(exported, folder) > 0.1


@pytest.mark.embedding
@pytest.mark.timeout(600)
async def test_the_candidates_are_ordered_anew(reranker: Reranker) -> None:
    scripted = ScriptedRetriever(PASSAGES)
    retriever = RerankingRetriever(scripted, {"facts": reranker})
    result = await retriever.search(SearchQuery("facts", "lamp weighs", "acme", top_k=3, rerank=True))
    assert (scripted.queries[0].top_k, scripted.queries[0].rerank) == (4, False)
    scores = await reranker.scores("lamp weighs", PASSAGES[:4])
    best = sorted(zip(scores, PASSAGES[:4], strict=True), key=lambda pair: -pair[0])[:3]
    assert [(one.score, one.id) for one in result.passages] == [(score, one.id) for score, one in best]
    assert result.reranked
    assert result.confidence == best[0][0]
    plain = await retriever.search(SearchQuery("facts", "lamp weighs", "acme", top_k=3))
    assert plain.passages == PASSAGES[:3]
    assert plain.confidence == 0.4


@pytest.mark.embedding
@pytest.mark.timeout(600)
async def test_a_model_with_several_scores_and_a_missing_one_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FailedPrecondition, match="expected a cross-encoder with one score"):
        await Reranker.open(RerankSettings(make_cross_encoder(tmp_path, labels=3)), tmp_path / "cache")
    with pytest.raises(FailedPrecondition, match=r"no config\.json"):
        await Reranker.open(RerankSettings(tmp_path / "nowhere"), tmp_path / "cache")


class ByLength:
    """In place of a model: longer is better; waits, and counts what it scored."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self.scored = 0

    def score(self, question: str, passage: str) -> float:
        if question == "broken":
            raise RuntimeError("broken")
        time.sleep(self.seconds)
        self.scored += 1
        return len(passage) / 100


def over(model: Any, passages: Sequence[Passage] = PASSAGES) -> RerankingRetriever:
    return RerankingRetriever(ScriptedRetriever(tuple(passages)), {"facts": Reranker(model, 6)})


class Stopping(ByLength):
    """Scores so many, then takes until it is let go."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most = most
        self.go = threading.Event()

    def score(self, question: str, passage: str) -> float:
        if self.scored == self.most:
            self.go.wait()
        return super().score(question, passage)


@pytest.mark.parametrize(("scored", "order"), [(0, "d0 d1 d2"), (1, "d0 d1 d2"), (3, "d2 d0 d1"), (5, "d3 d2 d0")])
async def test_at_the_deadline_only_what_has_a_score_is_ordered_anew(scored: int, order: str) -> None:
    model = Stopping(scored)
    loop = asyncio.get_running_loop()
    query = SearchQuery("facts", "lamp", "acme", top_k=3, min_score=0.9, rerank=True, deadline=loop.time() + 0.3)
    result = await over(model).search(query)
    model.go.set()
    assert [one.document_id for one in result.passages] == order.split()
    assert set(result.passages) <= set(PASSAGES)  # with the scores of the search
    assert (result.reranked, result.degraded) == (False, ("rerank_timeout",))
    await asyncio.sleep(0.2)
    assert model.scored <= scored + 1  # the thread has stopped too
    assert threading.active_count() < 50


async def test_minimum_score_and_passages_per_document_hold_after_reranking() -> None:
    passages = [passage("long", "x" * n, n=n) for n in (20, 30, 40)] + [passage("short", "y" * 10)]
    retriever = over(ByLength(), passages)
    query = SearchQuery("facts", "lamp", "acme", top_k=3, max_per_document=2, rerank=True)
    result = await retriever.search(query)
    assert [one.id for one in result.passages] == ["long@1#40", "long@1#30", "short@1#0"]
    high = await retriever.search(SearchQuery("facts", "lamp", "acme", top_k=3, min_score=0.3, rerank=True))
    assert [one.id for one in high.passages] == ["long@1#40", "long@1#30"]


async def test_failures() -> None:
    result = await over(ByLength()).search(SearchQuery("facts", "broken", "acme", top_k=1, rerank=True))
    assert (result.passages, result.degraded) == (PASSAGES[:1], ("rerank_failed",))
    with pytest.raises(FailedPrecondition, match="index 'other' has no cross-encoder"):
        await over(ByLength()).search(SearchQuery("other", "lamp", "acme", top_k=1, rerank=True))
    down = ScriptedRetriever(PASSAGES)
    down.failure = RetrievalUnavailable("down")
    with pytest.raises(RetrievalUnavailable):
        await RerankingRetriever(down, {"facts": Reranker(ByLength(), 6)}).search(  # type: ignore[arg-type]
            SearchQuery("facts", "lamp", "acme", top_k=1, rerank=True)
        )
