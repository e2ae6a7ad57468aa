"""Drift: false alarms without a change of questions, and questions until a change is found.

    python -m benchmarks.drift --to benchmarks/results     a quarter of an hour

How it is measured
- `trivet.drift.detector.Detector`, as a gateway runs it. A window is a reference and the questions after it; there is a
  false alarm in it if the evidence is at 20 at any time.
- Synthetic: vectors of 32 components around four directions, with a fifth as another topic.
- Real: the questions of the suites `tickets` and `handbook`, embedded with the installed model (384 components), drawn
  by chance with repetition. Before: tickets of four queues. Another topic: those of a fifth; another mix: a queue that
  had a tenth has six tenths; another kind of question: of the handbook.
- Long windows have 10,000 questions after the reference. A late change comes after so many.

What it does not show
- Questions that come in cycles or in one user's series, which are a change to the test.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.measuring.machine import command
from benchmarks.measuring.method import method
from benchmarks.measuring.repository import ROOT
from benchmarks.measuring.tables import table
from trivet.drift.detector import Detector
from trivet.drift.reference import Vectors
from trivet.retrieval.embedding.embedding import OnnxEmbedder
from trivet.retrieval.settings import EmbeddingSettings

Draw = Callable[[np.random.Generator, int, tuple[float, ...]], Vectors]
BEFORE = (0.4, 0.3, 0.2, 0.1, 0.0, 0.0)
CHANGES = {
    "all are of another topic": (0.0, 0.0, 0.0, 0.0, 1.0, 0.0),
    "a half is of another topic": (0.2, 0.15, 0.1, 0.05, 0.5, 0.0),
    "a fifth is of another topic": (0.32, 0.24, 0.16, 0.08, 0.2, 0.0),
    "another mix of the same topics": (0.1, 0.1, 0.2, 0.6, 0.0, 0.0),
    "a half is of another kind": (0.2, 0.15, 0.1, 0.05, 0.0, 0.5),
}
QUEUES = ("billing", "login", "delivery", "bug", "feature")
REFERENCE, AFTER, MOST = 500, 300, 1000
LONG = 10_000


@dataclass(frozen=True, slots=True)
class Source:
    """Where vectors come from. `windows`: how many without a change are looked at."""

    name: str
    draw: Draw
    windows: int


def main() -> None:
    """Measure and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--windows", type=int, default=10_000, help="without a change, synthetic (default: 10,000)")
    parser.add_argument("--real-windows", type=int, default=2_000, help="the same of real questions (default: 2,000)")
    parser.add_argument("--long", type=int, default=40, help="long windows of each source (default: 40)")
    parser.add_argument("--changes", type=int, default=200, help="windows of each change (default: 200)")
    parser.add_argument("--to", type=Path, help="folder for drift.md; printed by default")
    given = parser.parse_args()
    sources = (Source("synthetic", synthetic, given.windows), Source("real", real(), given.real_windows))
    lines = ["# Drift", "", (__doc__ or "").partition("\n")[0], "", "## Without a change", ""]
    rows = []
    for source in sources:
        for windows, after in ((source.windows, AFTER), (given.long, LONG)):
            alarms = sum(window(source.draw, seed, BEFORE, 0, after) is not None for seed in range(windows))
            rows.append([source.name, f"{windows:,}", f"{after:,}", f"{alarms:,}", f"{alarms / max(windows, 1):.4f}"])
            say(f"{source.name}: {alarms} alarms in {windows} windows of {after}")
    lines += table(["questions", "windows", "questions after the reference", "false alarms", "share"], rows)
    lines += ["", "## With a change", ""]
    lines += list(table(*changes(sources, given.changes)))
    lines += ["", f"- `{command('drift')}`", *method(__doc__)]
    page = "\n".join(lines) + "\n"
    if given.to is None:
        print(page)
    else:
        (given.to / "drift.md").write_text(page)


def changes(sources: tuple[Source, ...], windows: int) -> tuple[list[str], list[list[str]]]:
    """Header and rows: how many changes were found, and after how many questions."""
    rows = []
    for source in sources:
        for name, shares in CHANGES.items():
            for before in (0, 2_000):
                asked = [
                    window(source.draw, seed, shares, before, MOST) for seed in range(windows // (4 if before else 1))
                ]
                found = [one for one in asked if one is not None]
                half, most = (f"{np.quantile(found, rank):.0f}" if found else "-" for rank in (0.5, 0.95))
                share = f"{len(found) / max(len(asked), 1):.3f}"
                rows.append([source.name, name, f"{before:,}", f"{len(asked):,}", share, half, most])
                say(f"{source.name}, {name}, after {before}: {share} found, median {half}")
    header = ["questions", "change", "comes after", "windows", f"found within {MOST:,}", "median", "95%"]
    return header, rows


def window(draw: Draw, seed: int, shares: tuple[float, ...], before: int, after: int) -> int | None:
    """After how many questions of these shares there is an alarm; None if there is none. Those `before` have not
    changed; a false alarm in them counts as not found."""
    rng = np.random.default_rng([seed, before, after])
    detector = Detector.of(draw(rng, REFERENCE, BEFORE), seed)
    detector.add(draw(rng, before, BEFORE), [""] * before)
    if detector.alarmed:
        return None
    seen = detector.add(draw(rng, after, shares), [""] * after)
    return seen if detector.alarmed else None


def synthetic(rng: np.random.Generator, n: int, shares: tuple[float, ...]) -> Vectors:
    """(n, 32) of unit length."""
    topic = rng.choice(len(shares), size=n, p=shares)
    made = np.eye(len(shares), 32)[topic] + 0.6 * rng.standard_normal((n, 32)) / np.sqrt(32)
    vectors: Vectors = (made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float32)
    return vectors


def real() -> Draw:
    """Draws out of embedded questions."""
    pools = asyncio.run(embedded())

    def draw(rng: np.random.Generator, n: int, shares: tuple[float, ...]) -> Vectors:
        topic = rng.choice(len(shares), size=n, p=shares)
        picked = [pools[k][rng.integers(len(pools[k]))] for k in topic]
        return np.array(picked, dtype=np.float32).reshape(n, pools[0].shape[1])

    return draw


async def embedded() -> list[Vectors]:
    """Vectors (n, 384) of the tickets of each queue, then of the handbook's questions."""
    tickets = [json.loads(line) for line in (ROOT / "evals/tickets/tickets.jsonl").read_text().splitlines()]
    handbook = [json.loads(line) for line in (ROOT / "indexes/handbook/questions.jsonl").read_text().splitlines()]
    texts = [[one["question"] for one in tickets if one["label"] == queue] for queue in QUEUES]
    texts.append([one["question"] for one in handbook])
    with tempfile.TemporaryDirectory() as folder:
        embedder = await OnnxEmbedder.open(EmbeddingSettings(), Path(folder))
        pools = [np.stack([await embedder.embed_query(text) for text in pool]) for pool in texts]
        embedder.close()
    return pools


def say(text: str) -> None:
    """Progress."""
    print(f"[{time.monotonic():.0f}] {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
