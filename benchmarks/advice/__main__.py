"""How often advice is right, wrong, or "not enough evidence", in situations in which the right advice is known.

    python -m benchmarks.advice --to benchmarks/results     two minutes

How it is measured
- Each situation has arms with true shares of right answers, a corpus, traffic and wishes, for which an expert's advice
  is clear. Answers are drawn from the true shares, alike for the arms on seven questions of ten, and their order is
  shuffled; then `trivet.advice.procedure.advise` is asked.
- Every situation is drawn with its full number of questions, a half and a quarter of it, each from seeds of its own.
- "Wrong" is any other advice than the right one and than "not enough evidence".

What it does not show
- Whether a suite's questions are those that people ask, and whether arms that nobody measured would have been better.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

from benchmarks.advice.situations import SITUATIONS, Situation
from benchmarks.measuring.machine import command
from benchmarks.measuring.method import method
from benchmarks.measuring.tables import table as markdown
from trivet.advice.procedure import advise
from trivet.advice.result import Action

PARTS = (1, 2, 4)


def main() -> None:
    """Simulate and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=500, help="draws of each situation and size (default: 500)")
    parser.add_argument("--to", type=Path, help="folder for advice.md; printed by default")
    given = parser.parse_args()
    lines = ["# Advice", "", (__doc__ or "").partition("\n")[0], ""]
    lines += [*table(given.seeds), "", f"- `{command('advice')}`", *method(__doc__)]
    page = "\n".join(lines) + "\n"
    if given.to is None:
        print(page)
    else:
        (given.to / "advice.md").write_text(page)


def table(seeds: int) -> list[str]:
    """Shares of draws: right, not enough, wrong; per situation and number of questions."""
    header = ["situation", "right advice"]
    header += [f"{name}: right / not enough / wrong" for name in ("n", "n / 2", "n / 4")]
    rows, wrong = [], Counter[int]()
    for situation in SITUATIONS:
        cells = [f"{situation.name}, n = {situation.n:,}", situation.right.value]
        for part in PARTS:
            found = outcomes(situation, seeds, part)
            wrong[part] += found["wrong"]
            cells.append(" / ".join(f"{found[name] / seeds:.3f}" for name in ("right", "open", "wrong")))
        rows.append(cells)
    asked = seeds * len(SITUATIONS)
    rows.append(["all: wrong", "", *(f"{wrong[part] / asked:.4f}" for part in PARTS)])
    return list(markdown(header, rows))


def outcomes(situation: Situation, seeds: int, part: int) -> Counter[str]:
    """How often the advice was `right`, `open` or `wrong`, with the n-th `part` of the questions."""
    found: Counter[str] = Counter()
    for seed in range(seeds):
        action = advise(situation.draw(part * 1_000_000 + seed, situation.n // part)).action
        found["right" if action is situation.right else "open" if action is Action.COLLECT else "wrong"] += 1
    return found


if __name__ == "__main__":
    main()
