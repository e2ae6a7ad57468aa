"""The benchmark of retrieval: hybrid search over 1,000, 10,000 and 100,000 passages, next to the alternatives.

    python -m benchmarks.retrieval
    python -m benchmarks.retrieval --seconds 2 --rounds 2

How it is measured
- Passages: real text (the Python manual's, repeated with variation) with synthetic vectors, in documents of twenty.
  They are upserted through the index service, then a build makes an optimised snapshot, as an operator would.
- Trivet: `IndexService.search` in this process, top 5 of 50 candidates each: embedding, hybrid search in the vector
  process, then the heads of the documents found, so that only current passages count.
- LlamaIndex: `VectorStoreIndex(...).as_retriever("hybrid")` over `QdrantVectorStore`, on the same collection in the
  same process, with the same model, query-vector cache, term vectors, filter and numbers of candidates and results.
- qdrant-client's local mode: the same points and the same hybrid query, brute force in this process, up to
  --local-most passages. It blocks the event loop; at 100,000 it takes over a second for each query.
- Closed loops: each stream asks its next question when the last one is answered, 1, 8 and 32 at once. "miss": every
  question is new and is embedded. "hit": 64 questions in turn, whose vectors are in the cache.
- "writing": meanwhile one writer replaces documents of twenty passages, one after the other, as fast as it can.
- Systems take turns in each round, in an order that changes; figures are medians over rounds, ratios of the same run.
- Memory is the vector process's resident set at the end, disk its folder.

What it does not show
- The gateway: `Retrieve` adds about a millisecond (`benchmarks/path/` measures `retrieval_ms` in place).
- Quality: the vectors are random (`benchmarks/retrieval_quality/` is about quality).
- Filters that leave little, many tenants, a network, a Qdrant server.
- A renewal of the snapshot in the background: it is switched off.
- With two cores, the embedding, this process and the vector process compete when many ask at once.
- LlamaIndex checks no heads: it may find what was replaced or deleted a moment ago. It does less than the others.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import statistics
import sys
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any
from unittest.mock import patch

from rich.progress import Progress

from benchmarks.measuring import machine
from benchmarks.measuring.method import method
from benchmarks.measuring.processes import command_line, descendants
from benchmarks.measuring.repository import ROOT
from benchmarks.retrieval.load import measure
from benchmarks.retrieval.report import report
from benchmarks.retrieval.systems import Ask, llama_index, local_mode, trivet
from benchmarks.searching.index_folder import indexes_in
from benchmarks.searching.passages import PER_DOCUMENT, SyntheticEmbedder, documents, passage, queries, texts
from trivet.retrieval.service import IndexService
from trivet.types.passage import BuildProgress, Document, DocumentFormat

INDEX = "passages"
SYSTEMS = ("trivet", "llama-index", "local mode")
MISS, HIT = "miss", "hit"
_SETTINGS = "candidates: 50\nretain: 0\nrebuild_after: 0\n"  # no renewal by itself while it is filled or measured
_FRESH = 6000  # more than the cache of query vectors holds
_REPEATED = 64
_WRITERS = 4
_REPLACED = 8  # documents that are written to meanwhile


def main() -> None:
    """Every size, then the report."""
    arguments = _arguments()
    source, base = texts(arguments.folder / "sources")
    sizes = [asyncio.run(_size(arguments, base, size)) for size in arguments.sizes]
    described = {
        **machine.describe(ROOT),
        "text": source,
        "vectors": "synthetic",
        "seconds per window": arguments.seconds,
        "rounds": arguments.rounds,
        "command": machine.command("retrieval"),
    }
    print("\n".join([report(described, sizes), *method(__doc__)]))
    if arguments.json:
        arguments.json.write_text(json.dumps({"described": described, "sizes": sizes}))


async def _size(arguments: argparse.Namespace, base: Sequence[str], size: int) -> dict[str, Any]:
    """One size, in a folder of its own; what is there from an earlier run is used again."""
    folder = arguments.folder / f"passages-{size}"
    async with AsyncExitStack() as stack:
        stack.enter_context(patch("trivet.app.indexes.OnnxEmbedder", SyntheticEmbedder))
        _share_models(arguments.folder, folder)
        service = await stack.enter_async_context(indexes_in(folder, {INDEX: _SETTINGS}))
        filled = await _fill(service, base, size)
        snapshot = service.indexes[INDEX].live
        systems: dict[str, Ask] = {"trivet": trivet(service, INDEX)}
        if "llama-index" in arguments.systems and (ask := await llama_index(snapshot, stack)) is not None:
            systems["llama-index"] = ask
        if "local mode" in arguments.systems and size <= arguments.local_most:
            systems["local mode"] = await local_mode(snapshot, base, size, stack)
        cells = await _cells(arguments, service, base, systems)
        await service.delete(INDEX, [_written(n) for n in range(_REPLACED)])  # the next run finds what was there
        return {"size": size, "cells": cells, **filled, **_space(folder)}


async def _fill(service: IndexService, base: Sequence[str], size: int) -> dict[str, Any]:
    """Upsert, then build an optimised snapshot; nothing of it that an earlier run has done and nothing since undone."""
    (status,) = await service.status()
    filled = status.documents == -(-size // PER_DOCUMENT)
    if filled and not status.unoptimised:
        return {"passages": status.passages, "upsert_s": None, "build_s": None}
    begin = time.monotonic()
    with Progress(transient=True) as bars:
        task = bars.add_task(f"upsert {size:,}", total=-(-size // PER_DOCUMENT))
        waiting = iter(()) if filled else documents(base, size)

        async def write() -> None:
            for document in waiting:
                await service.upsert(INDEX, document)
                bars.advance(task)

        await asyncio.gather(*(write() for _ in range(_WRITERS)))
        upserted = time.monotonic() - begin
        task = bars.add_task(f"build {size:,}", total=None)
        async for progress in service.build(INDEX, rebuild=True):
            if isinstance(progress, BuildProgress):
                bars.update(task, total=progress.total, completed=progress.done, description=progress.stage)
    (status,) = await service.status()
    if not 0.95 * size < status.passages < 1.05 * size:
        raise RuntimeError(f"{status.passages} passages, expected {size}")
    return {
        "passages": status.passages,
        "upsert_s": None if filled else round(upserted, 1),
        "build_s": round(time.monotonic() - begin - upserted, 1),
    }


async def _cells(
    arguments: argparse.Namespace, service: IndexService, base: Sequence[str], systems: dict[str, Ask]
) -> list[dict[str, Any]]:
    """Every system, number of streams, cache state, with and without writes; medians over the rounds."""
    seeds = itertools.count(1)
    repeated = queries(base, _REPEATED, 0)
    seen: dict[tuple[str, int, str, bool], list[dict[str, Any]]] = {}
    for turn in range(arguments.rounds):
        order = list(systems)[turn % len(systems) :] + list(systems)[: turn % len(systems)]
        for streams, cache, writing in itertools.product(arguments.streams, (MISS, HIT), (False, True)):
            for name in order:
                if writing and name == "local mode":  # its copy is not written to
                    continue
                asked = repeated if cache == HIT else queries(base, _FRESH, next(seeds))
                writer = asyncio.create_task(_write(service, base)) if writing else None
                window = await measure(systems[name], asked, streams, arguments.seconds)
                written = await _stop(writer)
                seen.setdefault((name, streams, cache, writing), []).append({**asdict(window), "written": written})
                print(f"{name}, {streams} at once, {cache}, writing {writing}: {window.p50:.1f} ms", file=sys.stderr)
    return [
        {"system": name, "streams": streams, "cache": cache, "writing": writing, **_medians(windows)}
        for (name, streams, cache, writing), windows in seen.items()
    ]


def _medians(windows: Sequence[dict[str, Any]]) -> dict[str, float]:
    return {key: statistics.median(window[key] for window in windows) for key in windows[0]}


async def _write(service: IndexService, base: Sequence[str]) -> int:
    """Replace the same few documents by others until cancelled; how many."""
    for n in itertools.count():
        lines = [json.dumps({"text": f"{passage(base, k)} Written {n}."}) for k in range(PER_DOCUMENT)]
        document = Document(_written(n), "\n".join(lines).encode(), DocumentFormat.JSON_LINES)
        try:
            await service.upsert(INDEX, document)
        except asyncio.CancelledError:
            return n
    raise AssertionError


def _written(n: int) -> str:
    return f"written{n % _REPLACED}"


async def _stop(writer: asyncio.Task[int] | None) -> int:
    if writer is None:
        return 0
    writer.cancel()
    return await writer


def _share_models(root: Path, folder: Path) -> None:
    """All sizes use one export of the embedding model."""
    (root / "models").mkdir(parents=True, exist_ok=True)
    cache = folder / "data" / "cache"
    cache.mkdir(parents=True, exist_ok=True)
    if not (cache / "embedding").exists():
        (cache / "embedding").symlink_to(root / "models")


def _space(folder: Path) -> dict[str, float]:
    """MiB of memory of the vector process, and of disk of its collections and of the document log."""
    memory = 0
    for pid in descendants(os.getpid()):
        if "trivet.vector" in command_line(pid):
            status = Path(f"/proc/{pid}/status").read_text().splitlines()
            memory += sum(int(line.split()[1]) for line in status if line.startswith("VmRSS"))
    vectors, data = folder / "data" / "vectors", folder / "data"
    log = sum(path.stat().st_size for path in data.glob("documents*") if path.is_file())
    disk = sum(path.stat().st_blocks * 512 for path in vectors.rglob("*") if path.is_file())
    return {"memory_mib": memory / 1024, "disk_mib": disk / 2**20, "log_mib": log / 2**20}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--sizes", nargs="+", type=int, default=[1_000, 10_000, 100_000], help="passages (default: 1000 10000 100000)")
    add("--streams", nargs="+", type=int, default=[1, 8, 32], help="searches at once (default: 1 8 32)")
    add("--systems", nargs="+", choices=SYSTEMS, default=list(SYSTEMS), help="what is compared (default: everything)")
    add("--local-most", type=int, default=10_000, help="local mode is left out beyond (default: 10000)")
    add("--rounds", type=int, default=3, help="how often each is measured (default: 3)")
    add("--seconds", type=float, default=5.0, help="length of one measured window (default: 5)")
    add("--json", type=Path, metavar="FILE", help="write every measurement to a file")
    add(
        "--folder",
        type=Path,
        default=ROOT / ".data" / "benchmark" / "retrieval",
        help="text, indexes and models; used again by the next run (default: .data/benchmark/retrieval)",
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
