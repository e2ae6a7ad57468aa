"""Whether a folder of real files builds in one go: what is read of it is found, and what cannot be read is told.

    python -m benchmarks.corpus_of_files

How it is measured
- The files are fetched when this runs: the pages of Debian's FAQ in ten languages (Debian's packages
  `debian-faq` and its translations), 75 of the pages made into Word, OpenDocument, EPUB, mail and PDF files; Markdown,
  reStructuredText, text and Python files of the installed packages; and twenty broken files (damaged, encrypted,
  mislabelled, hostile: `tests/support/retrieval/broken_files.py`).
- One build by the server's own service, without `--strict`. Every broken file has to be listed with its reason, and no
  other, but for copies of a name.
- Of each document that was taken, one passage is drawn (the one whose digest is smallest), and its first 200 characters
  are asked for. Found is a passage of the same text among the first five: several documents may hold a text. Only
  texts of at least 40 characters are asked.

What it does not show
- How well questions in people's own words are answered, in whatever language: the questions are the texts' own words.
- Files made by Word or LibreOffice themselves: what was made here was made by libraries, the PDFs by our own writer.
- Speed: the machine is shared, and the build runs at low priority.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from qdrant_client import models

from benchmarks.corpus_of_files.files import Made, fetch, fill
from benchmarks.measuring import machine
from benchmarks.measuring.method import method
from benchmarks.measuring.repository import ROOT
from benchmarks.searching.halves import client_of
from benchmarks.searching.index_folder import indexes_in
from benchmarks.searching.python_docs import Unavailable
from trivet.retrieval.service import IndexService
from trivet.retrieval.snapshot.snapshot import Snapshot
from trivet.types.corpus import CorpusReport
from trivet.types.passage import SearchQuery

INDEX = "files"
ASKED = 200  # characters of a passage
LEAST = 40


def main() -> None:
    """Fetch, build, ask, report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--folder", type=Path, default=ROOT / ".data" / "benchmark" / "files", help="packages and index"
    )
    arguments = parser.parse_args()
    try:
        sources = fetch(arguments.folder / "packages")
    except Unavailable as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(1) from None
    made = fill(arguments.folder / "indexes" / INDEX / "corpus", sources)
    print("\n".join(asyncio.run(_measure(arguments.folder / "indexes", made))))


async def _measure(folder: Path, made: Made) -> list[str]:
    described = machine.describe(ROOT)
    begin = time.monotonic()
    async with indexes_in(folder, {INDEX: ""}) as service:
        report = CorpusReport()
        async for event in service.build(INDEX):
            if isinstance(event, CorpusReport):
                report = event
        described["seconds of the build"] = round(time.monotonic() - begin)
        (status,) = await service.status()
        described |= {"documents": status.documents, "passages": status.passages}
        found, asked, missed = await _ask(service)
    return [*_page(described, made, report, found, asked, missed), *method(__doc__)]


async def _ask(service: IndexService) -> tuple[Counter[str], Counter[str], list[str]]:
    """By the ending of the file: documents that were found, and that were asked for; and those that were not found."""
    drawn = await _drawn(service.indexes[INDEX].live)
    found, asked = Counter[str](), Counter[str]()
    missed: list[str] = []
    for document, text in sorted(drawn.items()):
        kind = PurePosixPath(document).parts[0]
        asked[kind] += 1
        query = SearchQuery(INDEX, text[:ASKED], "public", 5)
        if any(one.text == text for one in (await service.search(query)).passages):
            found[kind] += 1
        else:
            missed.append(document)
    return found, asked, missed


async def _drawn(live: Snapshot) -> dict[str, str]:
    """Of each document the text of one passage."""
    drawn: dict[str, tuple[str, str]] = {}
    passages = models.Filter(must=[models.FieldCondition(key="kind", match=models.MatchValue(value="passage"))])
    async with client_of(live) as client:
        offset = None
        while True:
            points, offset = await client.scroll(
                live.collection, passages, limit=1000, offset=offset, with_payload=["document_id", "text"]
            )
            for payload in (point.payload or {} for point in points):
                document, text = payload["document_id"], payload["text"]
                digest = hashlib.sha256(text.encode()).hexdigest()
                if len(text) >= LEAST and (document not in drawn or digest < drawn[document][0]):
                    drawn[document] = digest, text
            if offset is None:
                return {document: text for document, (_, text) in drawn.items()}


def _page(
    described: Mapping[str, Any],
    made: Made,
    report: CorpusReport,
    found: Counter[str],
    asked: Counter[str],
    missed: Sequence[str],
) -> list[str]:
    skipped = {one.file: one.reason for one in report.first_skipped}
    unseen = [name for name in made.broken if name not in skipped]
    others = [name for name in skipped if name not in made.broken]
    lines = ["# A folder of real files", ""]
    lines += [f"- {name}: {value}" for name, value in described.items()]
    lines += [
        f"- command: {machine.command('corpus_of_files')}",
        "",
        _counts(made, unseen, others),
        "",
        "| folder | documents asked for | found among five |",
        "|---|---|---|",
        *(f"| {kind} | {number} | {found[kind]} |" for kind, number in sorted(asked.items())),
        f"| all | {asked.total()} | {found.total()} |",
        "",
        f"Not found: {', '.join(missed) or 'none'}.",
        "",
        "| broken file | reason |",
        "|---|---|",
        *(f"| {name} | {skipped.get(name, 'not listed')} |" for name in made.broken),
        "",
    ]
    return lines


def _counts(made: Made, unseen: Sequence[str], others: Sequence[str]) -> str:
    kinds = ", ".join(f"{number} {ending}" for ending, number in sorted(made.kinds.items()))
    broken = len(made.broken)
    lacking = f" (not: {', '.join(unseen)})" if unseen else ""
    also = f" ({', '.join(others)})" if others else ""
    return (
        f"{sum(made.kinds.values()) + broken} files: {kinds}; {broken} broken. Listed as skipped: "
        f"{broken - len(unseen)} of the {broken} broken ones{lacking}, {len(others)} others{also}."
    )


if __name__ == "__main__":
    main()
