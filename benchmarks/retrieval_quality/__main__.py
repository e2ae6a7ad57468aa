"""How well passages are found in text that was not written for Trivet: the whole Python manual.

    python -m benchmarks.retrieval_quality
    python -m benchmarks.retrieval_quality --misspelt            # correct_spelling, on and off
    python -m benchmarks.retrieval_quality --follow-ups MODEL    # follow-up questions, written anew by that model,
                                       after --misspelt; with --adapters and --adapter by an adapter for it

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
- `--misspelt`: the rarest word of each question (and of each name of letters alone that is the last part of an
  identifier) is misspelt by one letter, which is added, left out, replaced or changes places with the next, so that no
  section has the word. Asked are the questions as they are and misspelt, with `correct_spelling` and without.
- `--follow-ups`: the rarest word of each question becomes "that", and an earlier turn names it. The model is asked with
  what a variant's `rewrite` asks it with, and the search is made with the question as it was asked, with what the
  model wrote, with both, fused, and with the question as it stood alone. An adapter learned from chats that are made by
  a like rule of another manual (`benchmarks.retrieval_quality.rewriting_chats`).

What it does not show
- Other corpora, languages and embedding models; the quality of an answer. Mistakes and follow-ups are made by rule, and
  people make others: "that" in place of any word is often no English, which makes it harder for a model to see what is
  meant.
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
from typing import Any

from rich.progress import Progress

from benchmarks.measuring import machine
from benchmarks.measuring.machine import machine_lines
from benchmarks.measuring.method import method
from benchmarks.measuring.repository import ROOT
from benchmarks.retrieval_quality.follow_ups import AS_ASKED, Writer, ask_follow_ups
from benchmarks.retrieval_quality.report import Ranks, report
from benchmarks.retrieval_quality.run import fill, search_all
from benchmarks.retrieval_quality.worded import ranks_of, table
from benchmarks.retrieval_quality.wordings import document_frequencies, follow_ups, misspelt, names
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
    if arguments.misspelt or arguments.follow_ups:
        lines = asyncio.run(_misspelt(arguments, sections)) if arguments.misspelt else _follow_ups(arguments, sections)
        described = _described(arguments, sections, begin)
        print("\n".join(["# Questions in other words", "", *machine_lines(described), *lines, *method(__doc__)]))
        return
    queries = [*questions(sections), *identifiers(sections, arguments.identifiers)]
    results, sizes = asyncio.run(_measure(arguments, sections, queries))
    described = {**_described(arguments, sections, begin), "passages": sizes}
    print("\n".join([report(described, queries, results), *method(__doc__)]))
    if arguments.json:
        arguments.json.write_text(json.dumps({"described": described, "ranks": results}))


def _described(arguments: argparse.Namespace, sections: Sequence[Section], begin: float) -> dict[str, Any]:
    return {
        **machine.describe(ROOT),
        "package": next((p.name for p in (arguments.folder / "sources").glob(f"{PACKAGE}_*.deb")), PACKAGE),
        "pages": "whole" if not arguments.pages else ", ".join(arguments.pages),
        "sections": len(sections),
        "seconds": round(time.monotonic() - begin),
        "command": machine.command("retrieval_quality"),
    }


async def _misspelt(arguments: argparse.Namespace, sections: Sequence[Section]) -> list[str]:
    """Questions and names as they are and misspelt, with and without correction."""
    (precision, *_), known = arguments.precisions, document_frequencies(sections)
    name, lines = f"manual-{precision}", list[str]()
    kinds = {"Questions": questions(sections), "Names": names(sections, arguments.identifiers)}
    pairs = {kind: misspelt(queries, known) for kind, queries in kinds.items()}
    ranks: dict[str, dict[str, Ranks]] = {kind: {} for kind in pairs}
    for setting in ("false", "true"):
        yaml = f"embedding: {{precision: {precision}}}\ncorrect_spelling: {setting}\n{arguments.settings}\n"
        async with indexes_in(arguments.folder / "indexes", {name: yaml}) as service:
            with Progress(transient=True) as bars:
                await fill(service, name, entries(sections), bars)
                for kind, asked in pairs.items():
                    for number, way in enumerate(("as they are", "misspelt")):
                        queries = [pair[number] for pair in asked]
                        label = f"{way}, {'corrected' if setting == 'true' else 'not corrected'}"
                        ranks[kind][label] = await ranks_of(service, name, queries, bars, f"{kind}: {label}")
    for kind, of in ranks.items():
        lines += ["", f"## {kind}: {len(pairs[kind])}", "", *table(of, "misspelt, not corrected")]
        clean = {way: of[way] for way in of if way.startswith("as they are")}
        lines += [
            "",
            "What correction does to those that have no mistake:",
            "",
            *table(clean, "as they are, not corrected"),
        ]
    return lines


def _follow_ups(arguments: argparse.Namespace, sections: Sequence[Section]) -> list[str]:
    """Through a server on the folder that an earlier run has filled."""
    index = f"manual-{arguments.precisions[0]}"
    if not (arguments.folder / "indexes" / index / "index.yaml").is_file():
        raise SystemExit(f"error: no index in {arguments.folder}, expected that --misspelt was run before")
    asked = follow_ups(questions(sections), document_frequencies(sections))[: arguments.most]
    with Progress(transient=True) as bars:
        writer = Writer(arguments.follow_ups, arguments.adapters, arguments.adapter)
        ranks, written = ask_follow_ups(arguments.folder / "indexes", index, writer, asked, bars)
    right = sum(one.alone.text.lower() == text.lower() for one, text in zip(asked, written, strict=True))
    lines = ["", f"## Follow-up questions: {len(asked)}", "", *table(ranks, AS_ASKED), ""]
    kept = sum(one.asked.text == text for one, text in zip(asked, written, strict=True))
    lines.append(
        f"The model wrote the very question that was meant {right} times, and repeated it as it was asked {kept}."
    )
    return lines


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
    add("--misspelt", action="store_true", help="measure what correct_spelling does, in the first precision, instead")
    add("--follow-ups", type=Path, metavar="MODEL", help="measure follow-ups with this model's folder instead")
    add("--adapters", type=Path, metavar="FOLDER", help="folder of adapters that has the one of --adapter")
    add("--adapter", default="", metavar="NAME@VERSION", help="the adapter that writes follow-ups anew")
    add("--most", type=int, default=200, help="follow-up questions at most (default: 200)")
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
