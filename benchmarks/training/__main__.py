"""What training takes, and what its objectives bring.

    python -m benchmarks.training memory --to benchmarks/results
    python -m benchmarks.training dpo --to benchmarks/results
    python -m benchmarks.training grpo --to benchmarks/results

How it is measured

- Memory: a random Llama of 4 layers, a width of 64 and a vocabulary of 151,936, that is, with almost all of its
  weights in the vocabulary; batches of 2,048 tokens, answers of 10 tokens after prompts of 182. The peak is that of the
  process's memory, each kind of step in a process of its own; what was held before the first step is taken off.
- Objectives: the shipped model with `ticket-sorter@1`, trained on from there by DPO (the right queue against the wrong
  one that this adapter gave, else against one drawn by chance) and by GRPO (the reward: whether the queue is right).
  Scored on tickets with phrasings and names that no training has, against the adapter that it began with; paired
  differences with 95% bootstrap intervals. Held-out pairs have a wrong queue drawn by chance. "Reward of drawn answers"
  is GRPO's own objective: the mean over a group of answers to each held-out ticket, at the training's temperature.
  "Right": greedy answers.

What it does not show

- GPUs, half precision, and models of billions of weights, where layers and not the vocabulary take most of the memory.
- Whether supervised training on the same tickets would do better. With right answers at hand it did: see
  `ticket-sorter@2`.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.measuring.machine import command, describe, machine_lines
from benchmarks.measuring.method import method
from benchmarks.measuring.repository import ROOT
from benchmarks.measuring.tables import table
from benchmarks.training.memory import KINDS, measure
from benchmarks.training.objectives import OBJECTIVES, Found, trained

STEPS = 2  # of each kind
SETTINGS = ("steps", "lr", "batch_tokens", "beta", "group", "temperature")


def main() -> None:
    """Measure and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("memory", *OBJECTIVES), help="what to measure; each has a page of its own")
    parser.add_argument("--steps", type=int, help="of an objective's training, for a try")
    parser.add_argument("--chats", type=int, default=2400, help="to train on")
    parser.add_argument("--held-out", type=int, default=400, help="to be scored on")
    parser.add_argument("--to", type=Path, help="folder for the page; printed by default")
    given = parser.parse_args()
    machine = describe(ROOT)
    lines = list(_memory()) if given.part == "memory" else _objective(given)
    page = [f"# Training: {given.part}", *method(__doc__), "", *lines, ""]
    text = "\n".join([*page, *machine_lines(machine), f"- `{command('training')}`"]) + "\n"
    if given.to is None:
        print(text)
    else:
        (given.to / f"training_{given.part}.md").write_text(text)


def _objective(given: argparse.Namespace) -> list[str]:
    with tempfile.TemporaryDirectory(dir=ROOT) as folder:
        where = Path(folder) / given.part
        found = trained(given.part, where, count=given.chats, held_out=given.held_out, steps=given.steps)
    return list(_found(given.part, found))


def _memory() -> Iterator[str]:
    with ThreadPoolExecutor(len(KINDS)) as pool:
        found = dict(zip(KINDS, pool.map(lambda kind: measure(kind, STEPS), KINDS), strict=True))
    first = next(iter(found.values()))
    rows = [
        [
            kind,
            f"{(one.peak - one.held) / 1e9:.2f}",
            f"{(first.peak - first.held) / max(1, one.peak - one.held):.1f}",
            f"{one.loss:.4f}",
        ]
        for kind, one in found.items()
    ]
    yield from table(["a step in which", "GB beside the model", "times less", "loss"], rows)


def _found(name: str, found: Found) -> Iterator[str]:
    metrics, recipe = found.manifest["metrics"], found.manifest["recipe"]
    held_out = metrics["held_out"]
    n = held_out["n"]
    if name == "dpo":
        what, gain = "right queue preferred, of pairs", f"loss fell by {_mean(held_out['fell'])}"
        before, after = (f"{one['share']:.3f}" for one in (held_out["base"], held_out))
    else:
        what, gain = "reward of drawn answers", f"gained {_mean(held_out['drawn_gained'])}"
        before, after = (_mean(one["drawn"]) for one in (held_out["base"], held_out))
    told = {key: value for key, value in recipe.items() if key in SETTINGS}
    yield f"{', '.join(f'{key} {value}' for key, value in told.items())}; {metrics['loss']:.4f} the last loss."
    yield ""
    rows = [
        [what, str(n), before, after, gain],
        ["right", str(n), f"{found.before / n:.3f}", f"{found.after / n:.3f}", f"gained {_mean(found.gained)}"],
    ]
    yield from table(["held out", "n", "before", "after", "difference"], rows)


def _mean(found: Mapping[str, float]) -> str:
    return f"{found['mean']:.3f} [{found['low']:.3f} to {found['high']:.3f}]"


if __name__ == "__main__":
    main()
