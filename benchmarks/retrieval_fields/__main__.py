"""What three field filters cost a search among many passages.

    python -m benchmarks.retrieval_fields --to benchmarks/results/retrieval_fields.md
    python -m benchmarks.retrieval_fields --passages 5000      a try

How it is measured
- Passages with synthetic vectors of 384 dimensions around 256 centres, 40 term numbers each and 400 characters of text,
  written by the store's own calls into a vector process, optimised in another one as a build does, and searched by
  `QdrantStore.search` over gRPC: 50 candidates of each half, the best 10, with heads.
- Fields of each document: a number, a date, a text of 20 values and a list of two of ten. Payload indexes as an index
  makes them.
- "without": the filter of every search (kind, tenant, validity). "half": three conditions on fields besides, a range, a
  range of dates and a list, that together leave about half of the passages. "facets": a text, a range and a range of
  dates, which leave about one in twenty-five. "few": a prefix, a range and a list, which
  leave about one in fifty. Each query is asked in the four ways one after the other, in turns; ratios are
  of the medians of one run. None was asked before.

What it does not show
- Quality, embedding, the gateway, a Qdrant server; searches at the same time; other shapes of data.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import track

from benchmarks.measuring import machine
from benchmarks.measuring.method import method
from benchmarks.measuring.repository import ROOT
from benchmarks.measuring.tables import table
from trivet.stores.collection_builder import CollectionBuilder
from trivet.stores.qdrant.store import QdrantStore
from trivet.stores.records import (
    AskedVectors,
    DocumentHead,
    DocumentKey,
    PassageRecord,
    Revision,
    SparseVector,
    Visibility,
)
from trivet.stores.vector_process import VectorProcess
from trivet.types.metadata.fields import FieldType, field_values
from trivet.types.metadata.where import bound, parse_where

DIMENSION, CENTRES, WORDS, VOCABULARY, PER_DOCUMENT = 384, 256, 40, 20_000, 20
TYPES = {"price": FieldType.NUMBER, "day": FieldType.DATE, "product": FieldType.TEXT, "regions": FieldType.LIST}
WAYS: Mapping[str, Any] = {
    "without": None,
    "half": {
        "all": [
            {"field": "price", "gte": 10},
            {"field": "day", "gte": "2025-02-01"},
            {"field": "regions", "in": ["r0", "r1", "r2", "r3", "r4", "r5"]},
        ]
    },
    "facets": {
        "all": [
            {"field": "product", "equals": "p1"},
            {"field": "price", "gte": 10},
            {"field": "day", "gte": "2025-02-01"},
        ]
    },
    "few": {
        "all": [
            {"field": "product", "prefix": "p1"},
            {"field": "price", "lt": 20},
            {"field": "regions", "equals": "r7"},
        ]
    },
}


def main() -> None:
    """Fill, optimise, search, report."""
    arguments = _arguments()
    took, sizes = asyncio.run(_measure(arguments))
    report = "\n".join([*_report(arguments, took, sizes), *method(__doc__), ""])
    print(report)
    if arguments.to:
        arguments.to.write_text(report)


async def _measure(arguments: argparse.Namespace) -> tuple[dict[str, list[float]], dict[str, float]]:
    folder: Path = arguments.folder
    process = VectorProcess(folder / "vectors", folder / "vector.log")
    await process.start()
    store = QdrantStore.embedded(lambda: process.endpoint)
    store._search_timeout = store._timeout = 600.0  # the machine may be shared
    collection = f"fields-{arguments.passages}"
    builder = CollectionBuilder(process, store, folder / "building", folder / "builder.log", folder / "foreign")
    began = time.monotonic()
    try:
        if not await store.exists(collection):
            async with builder.making(collection) as making:
                await making.ensure(collection, DIMENSION, TYPES)
                for records in track(_documents(arguments.passages), "fill", arguments.passages // PER_DOCUMENT):
                    await making.restore(collection, records)
                    head = DocumentHead(records[0].of, deleted=False, passages=len(records))
                    await making.publish(collection, head)
        filled = time.monotonic() - began
        return await _ask(arguments, store, collection), {"fill and optimise, s": round(filled)}
    finally:
        await store.close()
        await process.stop()


async def _ask(arguments: argparse.Namespace, store: QdrantStore, collection: str) -> dict[str, list[float]]:
    draw, vectors = random.Random(1), np.random.default_rng(1)
    wheres = {name: None if where is None else bound(parse_where(where), TYPES) for name, where in WAYS.items()}
    took: dict[str, list[float]] = {name: [] for name in WAYS}
    names = list(WAYS)
    for number in track(range(arguments.queries), "ask"):
        dense = _unit(vectors.standard_normal(DIMENSION))
        terms = SparseVector(sorted(draw.sample(range(VOCABULARY), 6)), [1.0] * 6)
        for name in names[number % len(names) :] + names[: number % len(names)]:
            who = Visibility("", (), time.time(), wheres[name])
            begin = time.perf_counter()
            await store.search(collection, [AskedVectors(dense, terms)], who, limit=10, candidates=50, rrf_k=2)
            took[name].append(1000 * (time.perf_counter() - begin))
    return took


def _documents(passages: int) -> Iterator[list[PassageRecord]]:
    draw, vectors = random.Random(0), np.random.default_rng(0)
    centres = vectors.standard_normal((CENTRES, DIMENSION))
    for start in range(0, passages, PER_DOCUMENT):
        given = {
            "price": draw.randrange(100),
            "day": f"20{draw.randrange(25, 27)}-{draw.randrange(1, 13):02}-15",
            "product": f"p{draw.randrange(20)}",
            "regions": [f"r{number}" for number in draw.sample(range(10), 2)],
        }
        of, fields = Revision(DocumentKey("", f"d{start}"), 1, "digest"), field_values(TYPES, given)
        yield [
            PassageRecord(
                of=of,
                n=n,
                title=f"Document {start}",
                text=f"{start + n} " * 60,
                n_tokens=100,
                start=0,
                end=400,
                tags=(),
                valid_from=None,
                valid_until=None,
                dense=_unit(centres[draw.randrange(CENTRES)] + 0.6 * vectors.standard_normal(DIMENSION)),
                terms=_terms(draw),
                fields=fields,
            )
            for n in range(PER_DOCUMENT)
        ]


def _terms(draw: random.Random) -> SparseVector:
    """Some terms are in many passages."""
    numbers = sorted({int(VOCABULARY * draw.random() ** 2) for _ in range(WORDS)})
    return SparseVector(numbers, [1.0] * len(numbers))


def _unit(vector: Any) -> list[float]:
    found: list[float] = (vector / np.linalg.norm(vector)).tolist()
    return found


def _report(
    arguments: argparse.Namespace, took: Mapping[str, list[float]], sizes: Mapping[str, float]
) -> Iterator[str]:
    yield from ("# Searches with filters by fields", "")
    described = {**machine.describe(ROOT), **sizes, "passages": arguments.passages, "queries": arguments.queries}
    described["command"] = machine.command("retrieval_fields")
    yield from (f"- {name}: {value}" for name, value in described.items())
    yield ""
    base = np.percentile(took["without"], [50, 95])
    rows = []
    for name, times in took.items():
        p50, p95 = np.percentile(times, [50, 95])
        rows.append((name, f"{p50:.2f}", f"{p95:.2f}", f"{p50 / base[0]:.2f}", f"{p95 / base[1]:.2f}"))
    yield from table(("filters", "p50 ms", "p95 ms", "p50 to without", "p95 to without"), rows)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--passages", type=int, default=100_000)
    add("--queries", type=int, default=300)
    add("--to", type=Path, metavar="FILE", help="write the report to a file")
    add(
        "--folder",
        type=Path,
        default=ROOT / ".data" / "benchmark" / "retrieval_fields",
        help="used again by the next run",
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
