"""What reranking costs: how long a cross-encoder takes for a search's candidates, and how many fit the deadline.

How it is measured
- Models: of the shape of MiniLM-L6 (the packaged embedding model's encoder with a random head), MiniLM-L12
  and TinyBERT-L2 (random weights): speed does not depend on the weights. `Reranker.open` exports them,
  as a server does. The tokenizer is the packaged model's.
- Passages: real text (the Python manual's) with synthetic vectors, in an index service with its vector process.
  "lines": passages of at most 60 words. "whole": running text, cut at 180 tokens as an index does by default. "tokens"
  is the median of a pair of question, title and passage.
- Times are of `Reranker.scores` on the candidates of a real search, one call at a time, and of the same pairs by
  sentence-transformers' `CrossEncoder.predict`, PyTorch with one thread, in batches of 32 (its default). The three take
  turns at each question; "ratio" is the median over questions of a time to CrossEncoder's of the same question. The p99
  of fewer than 100 questions is the slowest.
- The deadline: `RerankingRetriever.search` with questions that are new, so that the search with its embedding takes its
  part of it. "in time": calls whose order is the cross-encoder's; the others had it for the first ones that were
  scored by then, marked `rerank_timeout`. Several at once wait for each other at the reranker's one thread. What fits:
  the largest number of candidates up to which 99% of the calls are in time.

What it does not show
- Whether the order is better: that takes a trained cross-encoder, which only a model hub offers.
- What int8 does to the order of a trained cross-encoder: agreement is that of an untrained head's scores.
- The gateway, whose own bound cuts off what is later still, and an engine that competes for the same CPUs.

  python -m benchmarks.rerank --models L2 --questions 20     a try
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from benchmarks.measuring import machine
from benchmarks.measuring.method import method
from benchmarks.measuring.repository import ROOT
from benchmarks.rerank.cross_encoders import SHAPES, make_model, one_thread
from benchmarks.rerank.report import PLAIN, Cell, Scores, agreement, fitting, report, time_row
from benchmarks.searching.index_folder import indexes_in
from benchmarks.searching.passages import SyntheticEmbedder, documents, queries, texts
from trivet.retrieval.rerank.rerank import TIMEOUT, Reranker, RerankingRetriever, RerankSettings
from trivet.retrieval.service import IndexService
from trivet.types.passage import DocumentFormat, Passage, SearchQuery

FOLDER = ROOT / ".data" / "benchmark" / "rerank"  # used again by the next run
LINES, WHOLE = "lines", "whole"
PRECISIONS = ("float32", "int8")
FIRST = 5
Ask = Callable[[], list[str]]
Asked = Sequence[tuple[str, Sequence[Passage]]]


def main() -> None:
    """Measure, report."""
    arguments = _arguments()
    one_thread()
    source, base = texts(arguments.folder / "sources")
    described = {**machine.describe(ROOT), "sentence-transformers": version("sentence-transformers"), "text": source}
    with patch("trivet.app.indexes.OnnxEmbedder", SyntheticEmbedder):
        measured = asyncio.run(_measure(arguments, base))
    described |= {"questions": arguments.questions, "deadline": f"{arguments.deadline_ms:g} ms"}
    described["command"] = machine.command("rerank")
    print("\n".join([report(described, measured), *method(__doc__)]))
    if arguments.json:
        arguments.json.write_text(json.dumps({"described": described, **measured}))


async def _measure(arguments: argparse.Namespace, base: Sequence[str]) -> dict[str, list[Cell]]:
    """The rows of each table."""
    tables: dict[str, list[Cell]] = {}
    seeds = itertools.count()

    def ask() -> list[str]:
        return queries(base, arguments.questions, next(seeds))  # others every time: the vectors of old ones are cached

    async with indexes_in(arguments.folder / "indexes", dict.fromkeys((LINES, WHOLE), "rebuild_after: 0\n")) as service:
        await _fill(service, base, arguments.passages)
        for shape, index in itertools.product(arguments.models, (LINES, WHOLE)):
            for title, rows in (await _rows(arguments, service, ask, shape, index)).items():
                tables.setdefault(title, []).extend(rows)
    return tables


async def _rows(
    arguments: argparse.Namespace, service: IndexService, ask: Ask, shape: str, index: str
) -> dict[str, list[Cell]]:
    """The rows of one model on one index."""
    from sentence_transformers import CrossEncoder

    times, kept = list[Cell](), list[Cell]()
    folder = make_model(arguments.folder / "models" / shape, shape)
    model = CrossEncoder(str(folder), device="cpu")
    asked = [(text, await _candidates(service, index, text, max(arguments.candidates))) for text in ask()]
    tokens = [len(model.tokenizer(*pair)["input_ids"]) for one in asked for pair in _pairs(*one)]
    of: Cell = {"model": shape, "passages": index, "tokens": round(statistics.median(tokens))}
    for number in sorted(arguments.candidates):
        of["candidates"] = number
        settings = {p: RerankSettings(folder, number, p) for p in PRECISIONS}
        both = {p: await Reranker.open(settings[p], arguments.folder / "exported") for p in PRECISIONS}
        row, scores = await _times(model, both, [(text, some[:number]) for text, some in asked])
        times.append({**of, **row})
        print(times[-1], file=sys.stderr)
        for precision, together in itertools.product(PRECISIONS, arguments.at_once):
            retriever = RerankingRetriever(service, {index: both[precision]})
            row = await _deadline(retriever, index, ask(), together, arguments.deadline_ms / 1000)
            kept.append({**of, "precision": precision, "at once": together, **row})
        for reranker in both.values():
            reranker.close()
    agreed = [{**of, **agreement(scores, min(FIRST, number))}]  # of the most candidates
    return {"Time in ms": times, "Within the deadline": kept, "What fits": list(fitting(kept)), "Agreement": agreed}


async def _fill(service: IndexService, base: Sequence[str], number: int) -> None:
    """The same text in both indexes; what is there is not embedded again."""
    for status in await service.status():
        for document in documents(base, number):
            text = " ".join(json.loads(line)["text"] for line in document.content.splitlines())
            running = replace(document, content=text.encode(), format=DocumentFormat.TEXT)
            await service.upsert(status.name, running if status.name == WHOLE else document)


async def _candidates(service: IndexService, index: str, text: str, number: int) -> Sequence[Passage]:
    found = (await service.search(SearchQuery(index, text, "", top_k=number))).passages
    if len(found) < number:
        raise RuntimeError(f"{len(found)} candidates, expected {number}")
    return found


def _pairs(question: str, passages: Sequence[Passage]) -> list[tuple[str, str]]:
    """What the reranker scores."""
    return [(question, f"{passage.title}\n{passage.text}") for passage in passages]


async def _times(model: Any, both: Mapping[str, Reranker], asked: Asked) -> tuple[Cell, Scores]:
    """A row of times, and each system's scores, (questions, candidates)."""
    names = (PLAIN, *both)
    took = np.zeros((len(names), len(asked)))
    scores: dict[str, list[Any]] = {name: [None] * len(asked) for name in names}
    for turn in range(-2, len(asked)):  # the first two warm up: they are overwritten
        question, passages = asked[turn]
        for place in range(len(names)):
            at = (turn + place) % len(names)
            begin = time.perf_counter()
            if names[at] == PLAIN:
                scored = model.predict(_pairs(question, passages), show_progress_bar=False)
            else:
                scored = await both[names[at]].scores(question, passages)
            took[at, turn] = 1000 * (time.perf_counter() - begin)
            scores[names[at]][turn] = scored
    return time_row(names, took), {name: np.array(each, np.float64) for name, each in scores.items()}


async def _deadline(
    retriever: RerankingRetriever, index: str, questions: Sequence[str], together: int, seconds: float
) -> Cell:
    """The share of calls that were reranked in time, and how long all of them took."""
    loop = asyncio.get_running_loop()
    waiting, took, outcomes = iter(questions), [], []

    async def ask() -> None:
        for text in waiting:
            begin = loop.time()
            query = SearchQuery(index, text, "", top_k=FIRST, rerank=True, deadline=begin + seconds)
            result = await retriever.search(query)
            took.append(1000 * (loop.time() - begin))
            outcomes.append(TIMEOUT not in result.degraded)
            assert result.reranked == outcomes[-1], result.degraded

    await asyncio.gather(*(ask() for _ in range(together)))
    share, middle = statistics.fmean(outcomes), statistics.median(took)
    return {"in time": share, "p50 ms": round(middle), "most ms": round(max(took))}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--models", nargs="+", choices=list(SHAPES), default=["L6", "L2"], help="shapes (default: L6 L2)")
    add("--candidates", nargs="+", type=int, default=[5, 10, 20, 50], help="scored per search (default: 5 10 20 50)")
    add("--at-once", nargs="+", type=int, default=[1, 4], help="searches at once, under the deadline (default: 1 4)")
    add("--questions", type=int, default=40, help="of each cell, 2 at least (default: 40)")
    add("--deadline-ms", type=float, default=150.0, help="of a search (default: 150, a route's default)")
    add("--passages", type=int, default=2_000, help="in the index (default: 2000)")
    add("--json", type=Path, metavar="FILE", help="write every row to a file")
    add("--folder", type=Path, default=FOLDER, help="of text, index and models (default: .data/benchmark/rerank)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
