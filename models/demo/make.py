"""Make the demo model from nothing: tokenizer, the training stages of `recipe.yaml`, export, fresh scores.

The committed weights stay as they are unless --replace is given, because adapters name their base by its fingerprint.
Interrupted, it continues where it stopped when started again.
"""

from __future__ import annotations

import argparse
import secrets
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from tokenizers import Tokenizer

from evaluate import evaluate, show
from export import WEIGHTS, export, load_run
from tokenizer import FILE
from tokenizer import train as train_tokenizer
from train import RUNS, Plan, train
from trivet.training.folder import fingerprint

RECIPE = Path(__file__).with_name("recipe.yaml")
STEPS = ("tokenizer", "train", "export", "evaluate")
EXAMPLES = """examples:
  python models/demo/make.py                                     everything, exported beside the last run: hours
  python models/demo/make.py --scale 0.002 --runs /tmp/runs      shortened to a 500th: proves that the script works
  python models/demo/make.py --steps export evaluate --replace   over the committed weights, from runs that are done
"""


def plans(scale: float, runs: Path) -> list[Plan]:
    """The stages of the recipe, each with `scale` times its tokens."""
    found: list[dict[str, Any]] = yaml.safe_load(RECIPE.read_text())["stages"]
    return [Plan(**{**stage, "tokens": max(1, int(stage["tokens"] * scale))}, runs=runs) for stage in found]


def make(stages: list[Plan], steps: list[str], to: Path, n: int) -> None:
    """Go through the steps, in their order."""
    console = Console()
    last = stages[-1].folder
    if "tokenizer" in steps and not FILE.exists():
        console.print("tokenizer: learning the merges")
        train_tokenizer()
    for plan in stages if "train" in steps else ():
        console.print(f"training: run {plan.run}, {plan.tokens:,} tokens, {plan.processes} processes")
        train(plan)
    if "export" in steps:
        export(load_run(last), to)
        console.print(f"exported to {to}: fingerprint {fingerprint(to)}")
    if "evaluate" in steps:
        seed = secrets.randbelow(10**9)
        show(evaluate(load_run(last), Tokenizer.from_file(str(FILE)), seed, n), seed)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scale", type=float, default=1.0, help="share of the recipe's tokens (default 1)")
    parser.add_argument("--runs", type=Path, default=RUNS, help="the folder of the runs (default models/demo/runs)")
    parser.add_argument("--steps", nargs="+", choices=STEPS, default=list(STEPS), help="default: all")
    parser.add_argument("--replace", action="store_true", help="export over the committed weights")
    parser.add_argument("--n", type=int, default=500, help="examples in each evaluation set (default 500)")
    given = parser.parse_args()
    stages = plans(given.scale, given.runs)
    to = WEIGHTS if given.replace else stages[-1].folder / "weights"
    make(stages, given.steps, to, given.n)


if __name__ == "__main__":
    main()
