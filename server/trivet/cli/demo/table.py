"""The table at the end of `trivet demo`: what each leg is worth, asked of the demo's own server while one looks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from trivet.cli.evaluation.showing import show_part
from trivet.client import Client
from trivet.config import Config

SUITE = Path("evals") / "handbook"
CONTENDER = "hybrid"
# Each leg alone, the pairs that can know the facts, and the one of them that a schema in decoding could help most.
RIVALS = ("base", "prompt", "rag", "adapter", "prompt+rag", "prompt+rag+schema", "rag+adapter")
CONCURRENCY = 16


class DemoTable:
    """Every arm on the handbook's questions, through a server that has the arms' routes beside the demo's own.

    Everything is asked anew each time, and kept in the demo's folder, apart from the answers of `trivet eval`.
    """

    def __init__(self, config: Config, limit: int | None = None) -> None:
        """Reads the suite beside the configuration and writes the server's configuration; raises ConfigError."""
        from trivet.cli.evaluation.run import (
            Evaluation,
            EvaluationOptions,
            find_suite,
        )  # here, because other commands start faster so
        from trivet.evaluation.runner import Pace

        arms = (*RIVALS, CONTENDER)
        options = EvaluationOptions(arms, CONTENDER, limit, general=False, fresh=True, pace=Pace(CONCURRENCY))
        own = replace(config, data_dir=config.data_dir / "demo")
        self._evaluation = Evaluation(own, find_suite(str(config.path.parent / SUITE)), options)
        self._derived = self._evaluation.derive()

    @property
    def server_config(self) -> Path:
        """The configuration, with a route for each arm beside its own ones."""
        return self._derived.path

    def show(self, client: Client) -> None:
        """Ask, and print tables and what they mean."""
        from trivet.evaluation import wording

        part = self._evaluation.suite.main
        examples = part.examples
        unanswerable = sum(example.answers == () for example in examples)
        click.echo(
            f"  {len(examples)} hand-written questions, {unanswerable} of them without an answer in the handbook,"
        )
        click.echo(
            f"  put to {len(part.arms)} arms. An answer is right if it gives the fact, or says that there is none,"
        )
        click.echo("  as the JSON object that was asked for.")
        found = self._evaluation.run_on(client, self._derived).parts[0]
        show_part(found)
        click.secho(f"\n{wording.standing(found, RIVALS)}", bold=True)
