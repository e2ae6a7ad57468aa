"""How well passages are found in text that was not written for Trivet: the whole Python manual.

    python -m benchmarks.retrieval_quality

How it is measured
- The corpus is Debian's package `python3.11-doc`, fetched from the machine's own mirror when this runs: all its
  reStructuredText, read into sections (the text under one heading). Each section is a document, titled with the
  headings above it, and is cut, embedded, indexed and searched by the server's own service, in a vector process.
- Questions: the FAQ's headings that end with a question mark, but for one that is there twice. The heading itself is
  not indexed. Right is any passage of the section that answers it; the page is not enough.
- Identifiers: names of functions, classes, methods and C functions that are described exactly once, those with the
  smallest SHA-256. Right is the passage in which the description begins; the section is not enough.
- One set of defaults for both. Hybrid is `IndexService.search`; dense and BM25 are its two halves, asked alone of the
  same collection. R@k: share of the queries with a right passage among the first k; MRR@10: mean of 1/rank, 0 beyond
  10. Intervals are percentile bootstraps over queries, 95%; those of differences are paired.
- What was tuned (the weights of the two halves, rrf_k, candidates) was tuned on one half of the queries, drawn by hash;
  the table has the whole and, apart, the half that was not looked at.

What it does not show
- Other corpora, languages and embedding models; an answer's quality; typing errors; conversations.
- A question's heading is out of the index, but other pages may quote it. Some answers only point elsewhere ("See the
  next question"), and no search for their content can find them.
- References stay as their labels, tables and code as they are written; another reader would give other passages.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from rich.progress import Progress

from benchmarks.measuring import machine
from benchmarks.measuring.method import method
from benchmarks.measuring.repository import ROOT
from benchmarks.retrieval_quality.report import Ranks, report
from benchmarks.retrieval_quality.run import fill, search_all
from benchmarks.searching.index_folder import indexes_in
from benchmarks.searching.python_docs import PACKAGE, Query, Unavailable, entries, fetch, identifiers, questions, read
from benchmarks.searching.rest_sections import Section

PRECISIONS = ("float32", "int8")
IDENTIFIERS = 200


def main() -> None:
    """Fetch, index, search, report."""
    arguments = _arguments()
    try:
        sources = fetch(arguments.folder / "sources")
    except Unavailable as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(1) from None
    begin = time.monotonic()
    sections = read(sources, arguments.pages)
    queries = [*questions(sections), *identifiers(sections, arguments.identifiers)]
    results, sizes = asyncio.run(_measure(arguments, sections, queries))
    described = {
        **machine.describe(ROOT),
        "package": next((p.name for p in (arguments.folder / "sources").glob(f"{PACKAGE}_*.deb")), PACKAGE),
        "pages": "whole" if not arguments.pages else ", ".join(arguments.pages),
        "sections": len(sections),
        "passages": sizes,
        "seconds": round(time.monotonic() - begin),
        "command": machine.command("retrieval_quality"),
    }
    print("\n".join([report(described, queries, results), *method(__doc__)]))
    if arguments.json:
        arguments.json.write_text(json.dumps({"described": described, "ranks": results}))


async def _measure(
    arguments: argparse.Namespace,
    sections: Sequence[Section],
    queries: Sequence[Query],
) -> tuple[dict[str, dict[str, Ranks]], dict[str, int]]:
    """By precision and mode, the rank of the first right passage of each query; and how many passages there are."""
    names = {precision: f"manual-{precision}" for precision in arguments.precisions}
    settings = {names[p]: f"embedding: {{precision: {p}}}\n{arguments.settings}\n" for p in arguments.precisions}
    results: dict[str, dict[str, Ranks]] = {}
    sizes: dict[str, int] = {}
    async with indexes_in(arguments.folder / "indexes", settings) as service:
        with Progress(transient=True) as bars:
            for precision, name in names.items():
                await fill(service, name, entries(sections), bars)
                sizes[precision] = next(one.passages for one in await service.status() if one.name == name)
                results[precision] = await search_all(service, name, queries, bars)
    return results, sizes


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--precisions", nargs="+", choices=PRECISIONS, default=list(PRECISIONS), help="of the embedding model")
    add("--pages", nargs="*", default=[], metavar="PREFIX", help="only pages whose names begin so, such as faq/")
    add("--identifiers", type=int, default=IDENTIFIERS, help=f"how many are asked for (default: {IDENTIFIERS})")
    add("--settings", default="", metavar="YAML", help="more of index.yaml, such as 'rrf_k: 10'")
    add("--json", type=Path, metavar="FILE", help="write every rank to a file")
    add(
        "--folder",
        type=Path,
        default=ROOT / ".data" / "benchmark" / "quality",
        help="the package, the index and the vectors: a second run embeds nothing (default: .data/benchmark/quality)",
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
