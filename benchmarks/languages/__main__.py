"""How well passages are found in other languages than English: 30 questions each over real texts.

    python -m benchmarks.languages --to benchmarks/results/languages.md --before before.json
    python -m benchmarks.languages --languages polish      a try

How it is measured
- Texts: see `benchmarks/languages/texts.py`. Each document is cut, embedded, indexed and searched by the server's own
  service, in a vector process, with the default embedding model, which knows English.
- Questions: `benchmarks/languages/questions`, written from the documents' titles and committed before anything was run.
  Right is any passage of the one document that a question was written for. Questions whose document is not in the
  version of the package that the mirror has are not asked; how many were is said above.
- With `--terms` the half by terms is asked alone and in this process: BM25 with the server's term vectors over passages
  of at most 600 characters (250 in Chinese and Japanese). Nothing is embedded.
- hit@k: share of the questions with a right passage among the first k, with 95% intervals (Wilson). "hybrid" is
  `IndexService.search`; "BM25" and "dense" are its halves, asked alone of the same collection.
- "before": the same questions, texts and model with version `--before` was made by (its `--json`), where `language` was
  `english` in every index. "after": `language` is the text's own. "auto": `language: auto`.

What it does not show
- Much about small differences: 30 questions tell 0.4 from 0.8, and not 0.7 from 0.8.
- Questions that were not in sight: which way of cutting words was kept (pairs of characters, beginnings of 4 and 6
  letters) was chosen with these questions. So "after" is the better end of what to expect.
- An embedding model that knows the language. Other texts may well be answered by another document too: these count as
  wrong.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.progress import track

from benchmarks.languages.term_search import TermSearch, vectors_of
from benchmarks.languages.texts import SOURCES, Text, texts
from benchmarks.measuring import machine
from benchmarks.measuring.method import method
from benchmarks.measuring.repository import ROOT
from benchmarks.measuring.tables import table
from benchmarks.searching.debian import Unavailable
from benchmarks.searching.halves import DENSE, HYBRID, MODES, TERMS, client_of, leg, searched_for
from benchmarks.searching.index_folder import indexes_in
from trivet.retrieval.service import IndexService
from trivet.types.passage import Document, DocumentFormat

DEPTH = 5
_WRITERS = 4
Ranks = dict[str, list[int | None]]  # by mode, of each question


def main() -> None:
    """Fetch, index, ask, report."""
    arguments = _arguments()
    begin, load = time.monotonic(), machine.describe(ROOT)["load_average"]
    try:
        read = {language: texts(language, arguments.folder / "sources") for language in arguments.languages}
    except Unavailable as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(1) from None
    if arguments.terms:
        found = {language: _terms_alone(arguments, language, read[language]) for language in arguments.languages}
    else:
        found = {
            language: asyncio.run(_measure(arguments, language, read[language])) for language in arguments.languages
        }
    if arguments.json:
        arguments.json.write_text(json.dumps(found))
    before = json.loads(arguments.before.read_text()) if arguments.before else {}
    described = {
        **machine.describe(ROOT),
        "load_average": load,
        **{language: _described(language, read[language], arguments.folder / "sources") for language in read},
        "seconds": round(time.monotonic() - begin),
        "command": machine.command("languages"),
    }
    modes = (TERMS,) if arguments.terms else (HYBRID, TERMS, DENSE)
    report = "\n".join([*_report(described, before, found, modes), *method(__doc__), ""])
    print(report)
    if arguments.to:
        arguments.to.write_text(report)


def _terms_alone(arguments: argparse.Namespace, language: str, documents: Sequence[Text]) -> dict[str, Ranks]:
    """The same without an index: what the server's term vectors find."""
    ways = {"own": "english"} if arguments.english else {"own": language, "auto": "auto"}
    search = {name: TermSearch(vectors_of(way), language, documents) for name, way in ways.items()}
    return {name: {TERMS: one.ranks(_questions(language, documents), DEPTH)} for name, one in search.items()}


def _questions(language: str, documents: Sequence[Text]) -> list[dict[str, str]]:
    """Those whose document is there: another version of a package may not have it."""
    there = {one.id for one in documents}
    return [one for one in _all_questions(language) if one["document"] in there]


def _all_questions(language: str) -> list[dict[str, str]]:
    lines = (Path(__file__).parent / "questions" / f"{language}.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line) for line in lines]


def _described(language: str, documents: Sequence[Text], sources: Path) -> str:
    package = SOURCES[language].package
    file = next((path.name for path in sources.glob(f"{package}_*.deb")), package)
    asked, all_ = len(_questions(language, documents)), len(_all_questions(language))
    return f"{file}, {len(documents)} documents, {asked} of {all_} questions"


async def _measure(arguments: argparse.Namespace, language: str, documents: Sequence[Text]) -> dict[str, Ranks]:
    """By the index's `language`, the rank of the first right passage of each question, None beyond the first ones."""
    ways = dict(zip(("own", "auto"), (language, "auto"), strict=True)) if not arguments.english else {"own": "english"}
    settings = {f"{language}-{name}": f"language: {way}\nrebuild_after: 0\n" for name, way in ways.items()}
    questions = _questions(language, documents)
    async with indexes_in(arguments.folder / arguments.data, settings) as service:
        found = {}
        for name in ways:
            index = f"{language}-{name}"
            await _fill(service, index, documents)
            found[name] = await _ask(service, index, questions)
        return found


async def _fill(service: IndexService, index: str, documents: Sequence[Text]) -> None:
    waiting = iter(track(documents, f"index {index}"))

    async def write() -> None:
        for one in waiting:
            await service.upsert(index, Document(one.id, one.text.encode(), DocumentFormat.TEXT, title=one.title))

    await asyncio.gather(*(write() for _ in range(_WRITERS)))


async def _ask(service: IndexService, index: str, questions: Sequence[Mapping[str, str]]) -> Ranks:
    snapshot = service.indexes[index].live
    ranks: Ranks = {mode: [] for mode in MODES}
    async with client_of(snapshot) as client:
        for question in questions:
            found = {
                mode: [hit.document for hit in await leg(client, snapshot, mode, question["question"], DEPTH)]
                for mode in (DENSE, TERMS)
            }
            hybrid = (await service.search(searched_for(index, question["question"], DEPTH))).passages
            found[HYBRID] = [one.document_id for one in hybrid]
            for mode, ids in found.items():
                right = question["document"]
                ranks[mode].append(ids.index(right) + 1 if right in ids else None)
    return ranks


def _report(
    described: Mapping[str, Any], before: Mapping[str, Any], found: Mapping[str, Any], modes: Sequence[str]
) -> Iterator[str]:
    yield from ("# Languages", "")
    yield from (f"- {name}: {value}" for name, value in described.items())
    for mode in modes:
        rows = []
        for language, ways in found.items():
            for name, ranks in (
                ("before", before.get(language, {}).get("own")),
                ("after", ways.get("own")),
                ("auto", ways.get("auto")),
            ):
                if ranks is not None:
                    rows.append((language, name, _share(ranks[mode], 1), _share(ranks[mode], DEPTH)))
        yield from ("", f"## {mode}", "", *table(("text", "terms", "hit@1", f"hit@{DEPTH}"), rows))


def _share(ranks: Sequence[int | None], k: int) -> str:
    hits, n, z = sum(rank is not None and rank <= k for rank in ranks), len(ranks), 1.96
    middle, half = hits / n + z * z / (2 * n), z * math.sqrt(hits * (n - hits) / n**3 + z * z / (4 * n * n))
    low, high = ((middle + side * half) / (1 + z * z / n) for side in (-1, 1))
    return f"{hits / n:.2f} [{max(0.0, low):.2f}, {min(1.0, high):.2f}]"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--languages", nargs="+", choices=list(SOURCES), default=list(SOURCES))
    add("--english", action="store_true", help="only as indexes were before they had other languages")
    add("--terms", action="store_true", help="BM25 alone, in this process: nothing is embedded")
    add("--before", type=Path, metavar="FILE", help="what `--english --json` of the version before has written")
    add("--json", type=Path, metavar="FILE", help="write every rank to a file")
    add("--to", type=Path, metavar="FILE", help="write the report to a file")
    add("--data", default="indexes", help="folder of the indexes, below --folder: a second run embeds nothing")
    add("--folder", type=Path, default=ROOT / ".data" / "benchmark" / "languages")
    return parser.parse_args()


if __name__ == "__main__":
    main()
