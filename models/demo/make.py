"""Make the demo model: tokenizer, training, export, fresh scores.

The committed weights stay as they are unless --replace is given, because adapters name their base by its fingerprint.
Interrupted, it continues where it stopped when started again.
"""

from __future__ import annotations

import argparse
import secrets
from pathlib import Path

from evaluate import evaluate, show
from export import WEIGHTS, export, fingerprint, load_run
from rich.console import Console
from tokenizer import FILE
from tokenizer import train as train_tokenizer
from tokenizers import Tokenizer
from train import HERE, Plan, train

STAGES = ("tokenizer", "train", "export", "evaluate")
EXAMPLES = """examples:
  python models/demo/make.py                              all stages, 12 M tokens, exported under runs/
  python models/demo/make.py --tokens 3e5 --run short     a shortened run, a minute or so
  python models/demo/make.py --stages export evaluate --run one --replace
  python models/demo/make.py --run two --start one --tokens 26e6 --muon 0.007 --adam 0.0015 --seed 18
"""


def make(plan: Plan, stages: list[str], to: Path, n: int) -> None:
    """Go through the stages, in their order."""
    console = Console()
    if "tokenizer" in stages and not FILE.exists():
        console.print("tokenizer: learning the merges")
        train_tokenizer()
    if "train" in stages:
        console.print(f"training: run {plan.run}, {plan.tokens:,} tokens, {plan.processes} processes")
        train(plan)
    if "export" in stages:
        export(load_run(plan.run), to)
        console.print(f"exported to {to}: fingerprint {fingerprint(to)}")
    if "evaluate" in stages:
        seed = secrets.randbelow(10**9)
        show(evaluate(load_run(plan.run), Tokenizer.from_file(str(FILE)), seed, n), seed)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--run", default="make", help="name of the run's folder under runs/ (default make)")
    parser.add_argument("--tokens", type=float, default=12e6, help="length of this stage (default 12e6)")
    parser.add_argument("--start", default="", help="begin from this other run's checkpoint")
    parser.add_argument("--seed", type=int, default=17, help="of the data and the initialisation (default 17)")
    parser.add_argument("--muon", type=float, default=0.012, help="peak learning rate of the matrices (default 0.012)")
    parser.add_argument("--adam", type=float, default=0.003, help="peak rate of embedding and gains (default 0.003)")
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=list(STAGES), help="default: all")
    parser.add_argument("--replace", action="store_true", help="export over the committed weights")
    parser.add_argument("--n", type=int, default=500, help="examples in each evaluation set (default 500)")
    given = parser.parse_args()
    plan = Plan(given.run, int(given.tokens), given.seed, given.start, given.muon, given.adam)
    to = WEIGHTS if given.replace else HERE / "runs" / given.run / "weights"
    make(plan, given.stages, to, given.n)


if __name__ == "__main__":
    main()
