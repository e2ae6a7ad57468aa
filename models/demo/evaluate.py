"""Exact-match scores of a model folder or a run on fresh sets of held-out names.

The seed is drawn by chance unless given, and no training script knows it.
"""

from __future__ import annotations

import argparse
import json
import random
import secrets
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from safetensors.torch import load_file
from tokenizers import Tokenizer

from export import WEIGHTS, load_run
from network import Config, Network
from scores import SETS, Score, score
from tokenizer import FILE
from train import RUNS

EXAMPLES = """examples:
  python models/demo/evaluate.py                         the committed weights, a fresh seed
  python models/demo/evaluate.py --run wordings --n 200   a run in progress
"""


def load_folder(folder: Path) -> Network:
    """The network of an exported folder."""
    network = Network(Config())
    network.load_state_dict(load_file(str(folder / "model.safetensors")))
    network.eval()
    return network


def evaluate(network: Network, tokenizer: Tokenizer, seed: int, n: int) -> dict[str, Score]:
    scores = {}
    for name, make in SETS.items():
        rng = random.Random(f"{seed}/{name}")
        scores[name] = score(network, tokenizer, [make(rng) for _ in range(n)])
    return scores


def show(scores: dict[str, Score], seed: int) -> None:
    table = Table(title=f"exact match on held-out names, seed {seed}")
    for column in ("set", "n", "score", "95% interval"):
        table.add_column(column)
    for name, one in scores.items():
        low, high = one.interval
        table.add_row(name, str(one.n), f"{one.share:.3f}", f"{low:.3f} to {high:.3f}")
    Console().print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, epilog=EXAMPLES,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("--run", help="score this run's checkpoint instead of the committed weights")
    parser.add_argument("--runs", type=Path, default=RUNS, help="the folder of the runs (default models/demo/runs)")
    parser.add_argument("--n", type=int, default=500, help="examples a set (default 500)")
    parser.add_argument("--seed", type=int, default=None, help="default: drawn by chance")
    parser.add_argument("--json", action="store_true", help="print JSON")
    given = parser.parse_args()
    torch.set_num_threads(1)
    seed = secrets.randbelow(10**9) if given.seed is None else given.seed
    network = load_run(given.runs / given.run) if given.run else load_folder(WEIGHTS)
    scores = evaluate(network, Tokenizer.from_file(str(FILE)), seed, given.n)
    if given.json:
        print(json.dumps({"seed": seed} | {name: [one.right, one.n] for name, one in scores.items()}))
    else:
        show(scores, seed)


if __name__ == "__main__":
    main()
