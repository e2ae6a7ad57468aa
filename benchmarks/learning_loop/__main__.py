"""The learning loop, from nothing: a route with a weak prompt serves tickets, people rate and correct what they get.

    python -m benchmarks.learning_loop --to benchmarks/results

How it is measured

- One `trivet serve` with the shipped model answers tickets that models/demo makes up out of four phrasings for each
  queue, with names, numbers and sentences around them; each unit sends several. 70% of the answers are rated, and the
  wrong ones among these corrected: that is all that is learned from. The prompt does not say which queues there are.
- Then, by the commands: `trivet data export` (chats with the prompt, corrected ones three times as often), `trivet
  adapter train`, `trivet data suite` (of held-out units, none of which was trained on), `trivet eval --gate` on routes
  of the same server. Only if the gate lets the adapter pass, the rollout starts; errors and feedback are its
  guardrails, and nobody promotes by hand.
- The error rate of the route is counted over all answers of a phase, rated or not; 95% intervals are Wilson's.

What it does not show

- Tickets before and after are of the same kind; nothing drifts. People are never wrong, and nobody misuses feedback.
- Another model, another task: the prompted shipped model is far from usable here, which makes the gain large.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.learning_loop.project import LABELS, ROUTE, Project
from benchmarks.learning_loop.traffic import Answers, send
from benchmarks.measuring.machine import command, describe, machine_lines
from benchmarks.measuring.method import method
from benchmarks.measuring.repository import ROOT
from benchmarks.measuring.tables import table
from trivet.api.v1 import rollout_pb2
from trivet.cli.server.process import ServerProcess
from trivet.client import Client, Target
from trivet.evaluation.statistics import wilson

ENDED = {rollout_pb2.ROLLOUT_STATE_PROMOTED, rollout_pb2.ROLLOUT_STATE_ROLLED_BACK, rollout_pb2.ROLLOUT_STATE_HALTED}


def main() -> None:
    """Go round once and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tickets", type=int, default=2000, help="before the training, and after the promotion")
    parser.add_argument("--units", type=int, default=200, help="that send them")
    parser.add_argument("--steps", type=int, default=600, help="of the training")
    parser.add_argument("--to", type=Path, help="folder for learning_loop.md; printed by default")
    given = parser.parse_args()
    machine = describe(ROOT)
    with tempfile.TemporaryDirectory(dir=ROOT) as folder:
        lines = Loop(Path(folder), given.tickets, given.units, given.steps).go_round()
    page = ["# The learning loop", *method(__doc__), "", *lines, ""]
    text = "\n".join([*page, *machine_lines(machine), f"- `{command('learning_loop')}`"]) + "\n"
    if given.to is None:
        print(text)
    else:
        (given.to / "learning_loop.md").write_text(text)


class Loop:
    """Every step, in order; what each one found becomes a line."""

    def __init__(self, folder: Path, tickets: int, units: int, steps: int) -> None:
        self._project = Project(folder)
        self._tickets = tickets
        self._units = units
        self._steps = steps
        self._rows: list[list[str]] = []
        self._began = time.monotonic()

    def go_round(self) -> list[str]:
        """The page's own lines."""
        project = self._project
        project.begin()
        log = project.folder / "server.log"
        with (
            ServerProcess(project.config, project.folder / "data", output=log) as server,
            Client(server.target) as client,
        ):
            before = send(client, "before", units=self._units, most=self._tickets)
            self._answers("served with the prompt alone", before)
            if not self._learn(client, server.target)["passed"]:
                return [*self._table(), "", "The gate did not let the adapter pass: the loop ends here."]
            self._answers("during the rollout", self._roll_out(client))
            after = send(client, "after", units=self._units, most=self._tickets)
            self._answers("after the promotion", after)
        return [*self._table(), "", *_verdict(before, after)]

    def _learn(self, client: Client, target: Target) -> dict[str, Any]:
        """Export, training, suite and gate; the gate's verdict."""
        project, config = self._project, ("--config", str(self._project.config))
        admin = ("--admin-address", target.admin_address)
        chats = project.folder / "chats"
        wanted = ("--route", ROUTE, "--held-out", "0.2", "--json")
        learned = ("--prompt", f"{ROUTE}@1", "--failures", "3")
        made = self._run("data", "export", str(chats), *wanted, *learned, *config, *admin)
        self._row("exported", f"{made['files']['train.jsonl']['lines']:,} chats of {made['read']:,} rated answers")
        trained = self._run("adapter", "train", str(project.recipe(self._steps)), "--json")["manifest"]
        found = trained["metrics"]["held_out"]
        told = f"{found['right']} of {found['n']} held-out chats right, {found['base']['right']} by the bare base"
        self._row("trained", f"{self._steps} steps, {trained['data']['tokens_seen']:,} tokens; {told}")
        project.add_candidate()
        suite = project.folder / "evals" / ROUTE
        labels = [part for label in LABELS for part in ("--label", label)]
        asked = self._run("data", "suite", str(suite), *wanted, *labels, "--not-in", str(chats), *config, *admin)
        self._row("suite", f"{asked['files']['questions.jsonl']['lines']:,} questions of held-out units")
        client.reload_routes()  # which loads the adapter; the rollout waits for its start
        options = ("--baseline", "prompted", "--candidate", "adapted", "--concurrency", "8", "--json")
        running = ("--address", target.address, "--data-dir", str(project.folder / "evaluation"))
        report = self._run("eval", str(suite), "--gate", *options, *config, *running, fails=True)
        gate: dict[str, Any] = report["gate"]
        checks = [f"{'holds' if check['passed'] else 'fails'}: {check['found']}" for check in gate["checks"]]
        self._row("gate", "; ".join(checks))
        return gate

    def _roll_out(self, client: Client) -> Answers:
        """Start, and traffic until the data have decided."""
        client.rollouts.start(ROUTE, "it passed the gate")
        state = {"now": rollout_pb2.ROLLOUT_STATE_PENDING, "looked": 0.0}

        def decided() -> bool:
            if time.monotonic() - state["looked"] > 0.5:
                state["looked"], state["now"] = time.monotonic(), client.rollouts.get(ROUTE).state
            return state["now"] in ENDED

        found = send(client, "during", units=10 * self._units, most=20 * self._tickets, enough=decided)
        path = [rollout_pb2.RolloutState.Name(one.to_state) for one in client.rollouts.transitions(ROUTE)]
        steps = [name.removeprefix("ROLLOUT_STATE_").lower() for name in path]
        self._row("rollout", ", ".join(steps))
        return found

    def _run(self, *arguments: str, fails: bool = False) -> dict[str, Any]:
        """A command's JSON; one that `fails` says so with exit code 1 and prints as well."""
        called = [sys.executable, "-m", "trivet.cli", *arguments]
        done = subprocess.run(called, stdout=subprocess.PIPE, check=False, cwd=self._project.folder)
        if done.returncode not in ((0, 1) if fails else (0,)):
            raise SystemExit(f"trivet {' '.join(arguments)} ended with {done.returncode}")
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def _answers(self, what: str, answers: Answers) -> None:
        for variant in sorted(answers.asked):
            self._row(what, f"{variant}: {_errors(answers, (variant,))}")

    def _row(self, what: str, found: str) -> None:
        self._rows.append([what, found, f"{time.monotonic() - self._began:.0f}"])

    def _table(self) -> list[str]:
        return list(table(["step", "what was found", "seconds since the start"], self._rows))


def _errors(answers: Answers, variants: Sequence[str]) -> str:
    n = sum(answers.asked[variant] for variant in variants)
    wrong = n - sum(answers.right[variant] for variant in variants)
    interval = wilson(wrong, n)
    return f"{wrong / n:.3f} [{interval.low:.3f} to {interval.high:.3f}] wrong of {n:,}"


def _verdict(before: Answers, after: Answers) -> list[str]:
    first, then = (_errors(answers, tuple(answers.asked)) for answers in (before, after))
    return [f"The route's error rate: {first} before, {then} after."]


if __name__ == "__main__":
    main()
