"""How well passages are found in further real manuals, with questions that were fixed before anything was run.

    python -m benchmarks.second_manual --to benchmarks/results/retrieval_second_manual.md
    python -m benchmarks.second_manual --manual reference aptitude --against EARLIER.json

How it is measured
- The corpora are Debian's packages `installation-guide-amd64`, `debian-reference-en`, `aptitude-doc-en` (all made by
  DocBook) and `bind9-doc` (Sphinx), fetched from the machine's own mirror when this runs: all English HTML pages,
  unchanged. The server's own service reads, cuts, embeds (int8, the default), indexes and searches each, in a vector
  process.
- Questions: `benchmarks/second_manual/questions`, committed with their answers before the first run with them, in
  commits that have nothing to run. Those of the installation guide (40) were written from reading it. Kinds: "list",
  whose answer stands in a table or a list of terms; "name", a name or an option alone; "near", in words that
  the manual has; "paraphrase", in others. Those of the three others (28, 32 and 46) are about tables ("table"), lists
  ("items") and lists of terms ("terms") that were drawn by chance from all of the manual, as was most often what is
  asked about in each. How tables and lists are cut was decided with the questions of the first three manuals in sight;
  those of BIND's manual were asked once, when it was.
- Right passage: one of a page with an answer, with the very words that answer (compared by letters and digits alone).
  Right page: any passage of such a page, even if it does not answer.
- hit@k: share of the questions with a right one among the first k; MRR@10: mean of 1/rank, 0 beyond 10. Intervals are
  percentile bootstraps over questions, 95%; those of differences are paired.
- "plain text" is the state before documents were read by structure, as near as can be had today: tags taken out, what
  they end as lines, the page's title as title. Its passages have no headings above them and no table headers.
- The other rows are the default with one setting changed. All rows of a table are of one run.
- Misspelt: the rarest word of each question that has a word of four letters is misspelt by one letter, as in
  `benchmarks/retrieval_quality`.
- `--against`: what `--json` of an earlier run, of another state of the server say, has written. Differences are paired
  by question.

What it does not show
- Much about small differences: 40 questions tell 0.5 from 0.8, and not 0.7 from 0.75; kinds have 5 to 22.
- Other corpora, languages and embedding models; the quality of an answer. Whoever wrote the questions had the answers
  before the eyes and knows how searches work.
- Reranking: no cross-encoder that was trained can be had here.
- "plain text" on equal terms: its passages are fewer and longer (`passages` above), and a longer one contains an answer
  more easily. What a model makes of a passage is not asked here.
- Right passages that say the same in other words: they count as wrong.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from rich.progress import Progress

from benchmarks.measuring import machine
from benchmarks.measuring.method import method
from benchmarks.measuring.repository import ROOT
from benchmarks.retrieval_quality.wordings import misspelt_text, text_frequencies
from benchmarks.searching.debian import Unavailable
from benchmarks.searching.halves import HYBRID
from benchmarks.searching.index_folder import indexes_in
from benchmarks.second_manual.manual import MANUALS, Manual, flattened
from benchmarks.second_manual.report import report
from benchmarks.second_manual.run import Measured, ask, ask_hybrid, fill
from trivet.types.passage import Document

DEFAULT, PLAIN, CORRECTED = "default", "plain text", "correct_spelling: true"
# By name of the row: the index, and its settings beside the default ones.
ARMS = {
    DEFAULT: ("default", ""),
    PLAIN: ("plain", ""),
    "chunking.headings: false": ("bare", "chunking: {headings: false}"),
    "chunking.overlap: 40": ("overlap", "chunking: {overlap: 40}"),
    "chunking.pack: false": ("unpacked", "chunking: {pack: false}"),
    CORRECTED: ("corrected", "correct_spelling: true"),
}


def main() -> None:
    """Fetch, index, ask, report."""
    arguments = _arguments()
    load, begin = machine.describe(ROOT)["load_average"], time.monotonic()
    earlier = None if arguments.against is None else json.loads(arguments.against.read_text())
    manuals = [MANUALS[name] for name in arguments.manual]
    sources = arguments.folder / "sources"
    try:
        fetched = [manual.documents(sources) for manual in manuals]
    except Unavailable as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(1) from None
    all_measured = [
        asyncio.run(_measure(arguments.folder / f"indexes-{manual.name}", manual, documents))
        for manual, documents in zip(manuals, fetched, strict=True)
    ]
    described = {
        **machine.describe(ROOT),
        "load_average": load,
        **_sizes(sources, all_measured, fetched),
        "seconds": round(time.monotonic() - begin),
        "command": machine.command("second_manual"),
    }
    ranks = None if earlier is None else {name: one[DEFAULT]["passages"][HYBRID] for name, one in earlier.items()}
    text = "\n".join([*report(described, all_measured, ranks), *method(__doc__), ""])
    print(text)
    if arguments.to:
        arguments.to.write_text(text)
    if arguments.json:
        found = {
            one.manual.name: {arm: asdict(asked) for arm, asked in one.results.items()} | {"spelt": one.spelt}
            for one in all_measured
        }
        arguments.json.write_text(json.dumps(found))


def _sizes(sources: Path, all_measured: Sequence[Measured], fetched: Sequence[Sequence[Document]]) -> dict[str, str]:
    """What each manual is: its package, its pages, its passages by arm."""
    described = {}
    for measured, documents in zip(all_measured, fetched, strict=True):
        package = next((p.name for p in sources.glob(f"{measured.manual.package}_*.deb")), measured.manual.package)
        passages = ", ".join(f"{name} {size}" for name, size in measured.passages.items())
        described[measured.manual.name] = f"{package}; {len(documents)} pages; passages: {passages}"
    return described


async def _measure(folder: Path, manual: Manual, documents: Sequence[Document]) -> Measured:
    """Every arm, and misspelt questions."""
    settings = {index: f"rebuild_after: 0\n{more}\n" for index, more in ARMS.values()}
    plain = flattened(documents)
    known = text_frequencies(one.content.decode() for one in plain)
    asked = manual.questions()
    wrong = [replace(one, text=text) for one in asked if (text := misspelt_text(one.text, known)) is not None]
    right = [one for one in asked if misspelt_text(one.text, known) is not None]
    measured = Measured(manual, asked, {}, {}, {})
    async with indexes_in(folder, settings) as service:
        with Progress(transient=True) as bars:
            for name, (index, _) in ARMS.items():
                await fill(service, index, plain if name == PLAIN else documents, bars)
                measured.results[name] = await ask(service, index, asked, bars)
                measured.passages[name] = next(one.passages for one in await service.status() if one.name == index)
            for name in (DEFAULT, CORRECTED):
                for way, chosen in (("as they are", right), ("misspelt", wrong)):
                    label = f"{way}, {'' if name == CORRECTED else 'not '}corrected"
                    measured.spelt[label] = await ask_hybrid(service, ARMS[name][0], chosen, bars)
    return measured


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--to", type=Path, metavar="FILE", help="write the report to a file")
    add("--json", type=Path, metavar="FILE", help="write every rank to a file")
    add("--manual", nargs="+", choices=MANUALS, default=["installation-guide"], help="which ones")
    add("--against", type=Path, metavar="FILE", help="what --json of an earlier run has written")
    add("--folder", type=Path, default=ROOT / ".data" / "benchmark" / "second_manual", help="package, indexes, vectors")
    return parser.parse_args()


if __name__ == "__main__":
    main()
