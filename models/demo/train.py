"""Train the demo model on the CPU: two one-thread processes that sum their gradients.

A run is a folder under runs/: `checkpoint.pt` (weights, optimisers, step, data seed and position) and `curve.jsonl`.
Started again it continues where it stopped; `--start` begins a new stage from another run's checkpoint.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Mapping
from dataclasses import asdict, astuple, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from tokenizers import Tokenizer

from batches import Batches, Position
from initial import initialise
from mixture import FULL_MIX, Mix
from muon import Muon
from network import Config, Network
from scores import quick_scores
from tokenizer import FILE
from wording import Wording

RUNS = Path(__file__).parent / "runs"
SAVE_EVERY, LOG_EVERY, SCORE_EVERY = 200, 20, 200
EXAMPLES = """examples:
  python models/demo/train.py --run one --tokens 10e6
  python models/demo/train.py --run two --start one --tokens 26e6 --muon 0.007 --adam 0.0015 --seed 18
"""


@dataclass(frozen=True)
class Plan:
    """Everything that decides the outcome of a run."""

    run: str
    tokens: int
    seed: int = 17
    start: str = ""
    muon: float = 0.012
    adam: float = 0.003
    warm_up: int = 40
    decay: float = 0.6
    batch: int = 1536
    processes: int = 2
    mix: Mix = field(default_factory=lambda: FULL_MIX)
    wording: Wording = "train"
    runs: Path = RUNS

    @property
    def folder(self) -> Path:
        return self.runs / self.run

    def check(self, other: Mapping[str, Any]) -> None:
        """Raise ValueError if a checkpoint's plan says that its run was another one; it may have been shorter."""
        own = self.described()
        differing = [key for key in own if key != "tokens" and other.get(key, own[key]) != own[key]]
        if differing:
            told = ", ".join(f"{key} {other[key]} (now {own[key]})" for key in differing)
            raise ValueError(f"run {self.run!r} was begun with {told}: give it another name, or remove its folder")

    def described(self) -> dict[str, Any]:
        """What a checkpoint keeps of it."""
        return {key: value for key, value in asdict(self).items() if key != "runs"}


def rate(tokens: float, step: int, plan: Plan) -> float:
    """The share of the peak learning rate: warm-up in steps, then constant, then linear decay in tokens."""
    warm = min(1.0, (step + 1) / plan.warm_up)
    left = max(0.0, 1.0 - tokens / plan.tokens)
    return warm if not plan.decay else warm * min(1.0, max(0.02, left / plan.decay))


class Run:
    """One process of a run."""

    def __init__(self, plan: Plan, rank: int) -> None:
        self.plan, self.rank = plan, rank
        self.network = Network(Config())
        initialise(self.network, plan.seed)
        matrices = [p for n, p in self.network.named_parameters() if p.dim() == 2 and "embed" not in n]
        others = [p for n, p in self.network.named_parameters() if p.dim() == 1 or "embed" in n]
        self.muon = Muon(matrices, plan.muon)
        self.adam = torch.optim.AdamW(others, plan.adam, betas=(0.9, 0.98), weight_decay=0.0)
        self.step, self.tokens, self.seconds = 0, 0, 0.0
        position = self._restore()
        tokenizer = Tokenizer.from_file(str(FILE))
        self.batches = Batches(tokenizer, plan.seed, rank, plan.batch, position, plan.mix, plan.wording)

    def _restore(self) -> Position:
        own = self.plan.folder / "checkpoint.pt"
        other = self.plan.runs / self.plan.start / "checkpoint.pt"
        if not own.exists() and not self.plan.start:
            return Position()
        state: dict[str, Any] = torch.load(own if own.exists() else other, weights_only=True)
        self.network.load_state_dict(state["network"])
        self.muon.load_state_dict(state["muon"])
        self.adam.load_state_dict(state["adam"])
        if not own.exists():
            return Position()
        self.plan.check(state["plan"])
        self.step, self.tokens, self.seconds = state["step"], state["tokens"], state["seconds"]
        return Position(*state["positions"][self.rank])

    def save(self) -> None:
        positions: list[Any] = [None] * dist.get_world_size()
        dist.all_gather_object(positions, astuple(self.batches.position))
        if self.rank:
            return
        path = self.plan.folder / "checkpoint.pt"
        torch.save(
            {"network": self.network.state_dict(), "muon": self.muon.state_dict(), "adam": self.adam.state_dict(),
             "step": self.step, "tokens": self.tokens, "seconds": self.seconds, "positions": positions,
             "plan": self.plan.described()}, path.with_suffix(".new"))  # fmt: skip
        path.with_suffix(".new").replace(path)

    def advance(self) -> tuple[float, float]:
        """One step; gives the mean weighted loss and the learning rate's share."""
        ids, weights = self.batches.next()
        share = rate(self.tokens, self.step, self.plan)
        for group in self.muon.param_groups:
            group["lr"] = self.plan.muon * share
        for group in self.adam.param_groups:
            group["lr"] = self.plan.adam * share
        loss = self.network.loss(ids, weights)
        loss.backward()
        sums = torch.tensor(
            [float(loss.detach()), float(weights[:, 1:].sum()), float(ids.numel())], dtype=torch.float64
        )
        dist.all_reduce(sums)
        self._sum_gradients(1.0 / float(sums[1]))
        self.muon.step()
        self.adam.step()
        self.network.zero_grad()
        self.step += 1
        self.tokens += int(sums[2])
        return float(sums[0] / sums[1]), share

    def _sum_gradients(self, scale: float) -> None:
        gradients = [p.grad for p in self.network.parameters() if p.grad is not None]
        flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
        dist.all_reduce(flat)
        for gradient, total in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(total.view_as(gradient)).mul_(scale)

    def log(self, loss: float, share: float) -> dict[str, float]:
        line: dict[str, float] = {"step": self.step, "tokens": self.tokens, "seconds": round(self.seconds, 1),
                                  "loss": round(loss, 4), "rate": round(share, 4)}  # fmt: skip
        if self.step % SCORE_EVERY == 0 or self.tokens >= self.plan.tokens:
            line |= quick_scores(self.network, self.batches.tokenizer)
        with (self.plan.folder / "curve.jsonl").open("a") as curve:
            curve.write(json.dumps(line) + "\n")
        return line


def work(rank: int, plan: Plan) -> None:
    """What each process does."""
    torch.set_num_threads(1)
    parent = os.getppid()
    meeting = plan.folder / f"meeting.{parent}"
    dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=plan.processes)
    run = Run(plan, rank)
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"),
               TimeElapsedColumn(), TimeRemainingColumn())  # fmt: skip
    with Progress(*columns, disable=rank > 0) as progress:
        task = progress.add_task("training", total=plan.tokens, completed=run.tokens)
        since, losses = time.monotonic(), list[float]()
        while run.tokens < plan.tokens and os.getppid() == parent:  # without the parent nobody would stop us
            loss, share = run.advance()
            losses.append(loss)
            run.seconds, since = run.seconds + time.monotonic() - since, time.monotonic()
            done = run.tokens >= plan.tokens
            if rank == 0 and (run.step % LOG_EVERY == 0 or done):
                mean = sum(losses) / len(losses)
                line = run.log(mean, share)
                progress.update(task, completed=run.tokens, description=f"loss {mean:.3f}")
                if not progress.console.is_terminal:
                    progress.console.print(json.dumps(line), soft_wrap=True)
                losses.clear()
            if run.step % SAVE_EVERY == 0 or done:
                run.save()
    dist.destroy_process_group()


def train(plan: Plan) -> None:
    """Train, or continue, the run of the plan."""
    plan.folder.mkdir(parents=True, exist_ok=True)
    mp.spawn(work, args=(plan,), nprocs=plan.processes)
    for left in plan.folder.glob("meeting.*"):
        left.unlink()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, epilog=EXAMPLES,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("--runs", type=Path, default=RUNS, help="the folder of the runs (default models/demo/runs)")
    parser.add_argument("--run", required=True, help="name of the run's folder under runs/")
    parser.add_argument("--tokens", type=float, default=10e6, help="length of this stage (default 10e6)")
    parser.add_argument("--start", default="", help="begin from this other run's checkpoint")
    parser.add_argument("--seed", type=int, default=17, help="of the data and the initialisation (default 17)")
    parser.add_argument("--muon", type=float, default=0.012, help="peak learning rate of the matrices")
    parser.add_argument("--adam", type=float, default=0.003, help="peak learning rate of the embedding and gains")
    parser.add_argument(
        "--decay", type=float, default=0.6, help="share of the tokens over which the rates decay; 0: never"
    )
    given = parser.parse_args()
    plan = Plan(given.run, int(given.tokens), given.seed, given.start, given.muon, given.adam, decay=given.decay)
    train(replace(plan, runs=given.runs))


if __name__ == "__main__":
    main()
