"""The rollouts of `trivet demo`: real traffic while one candidate takes over and another one is rolled back."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from threading import Event

import click

from trivet.api.v1 import inference_pb2, rollout_pb2
from trivet.cli.console.output import print_table
from trivet.cli.rollout.report.page import page
from trivet.cli.rollout.report.replay import read_history
from trivet.cli.rollout.wording import ENDED, GUARDRAIL_COLUMNS, guardrail_rows, percent, state_name
from trivet.client import CallFailed, Client

BETTER, BROKEN = "tickets", "support-form"
QUESTIONS = {BETTER: Path("evals/tickets/tickets.jsonl"), BROKEN: Path("indexes/handbook/questions.jsonl")}
REASON = "the demo"
_USERS = 400
_CLIENTS = 16
_MOST_SECONDS = 120.0


class DemoRollouts:
    """`folder`: the project's, with the questions that users ask. `pages`: where a report of each is written."""

    def __init__(self, folder: Path, pages: Path) -> None:
        self._folder = folder
        self._pages = pages

    def show(self, client: Client) -> None:
        """Roll both out under traffic, and say how each ended."""
        click.echo(f"  {_USERS} users ask; a user keeps its variant, and what is judged is users, not requests.")
        click.echo("  ticket-sorter@2 over @1:")
        self._roll_out(client, BETTER)
        click.echo("  A candidate without the adapter, which breaks the form:")
        self._roll_out(client, BROKEN)

    def _roll_out(self, client: Client, route: str) -> None:
        _end_what_runs(client, route)
        begun = client.rollouts.start(route, REASON, restart=True)
        traffic = _Traffic(client, route, self._questions(route))
        with traffic:
            ended = _follow(client, route, begun.id)
        if ended is None:
            click.echo(f"    not decided within {_MOST_SECONDS:.0f} s; `trivet rollout status {route}` says why")
            return
        click.echo(f"    {traffic.requests:,} requests")
        if ended.look.estimates:
            print_table(GUARDRAIL_COLUMNS, guardrail_rows(ended.look))
        written = self._pages / f"rollout-{route}.html"
        written.write_text(page(read_history(client.rollouts, ended)), encoding="utf-8")
        click.secho(f"    as a page: {written}", dim=True)

    def _questions(self, route: str) -> Sequence[str]:
        lines = (self._folder / QUESTIONS[route]).read_text(encoding="utf-8").splitlines()
        return [json.loads(line)["question"] for line in lines if line.strip()]


def _end_what_runs(client: Client, route: str) -> None:
    """A demo that was killed has left its rollout running."""
    try:
        found = client.rollouts.get(route)
    except CallFailed as failure:
        if failure.code != "NOT_FOUND":
            raise
        return
    if found.state not in ENDED and found.state != rollout_pb2.ROLLOUT_STATE_PENDING:
        client.rollouts.cancel(route, REASON)


def _follow(client: Client, route: str, rollout: str) -> rollout_pb2.Rollout | None:
    """Say each change until the rollout has ended, and give it as it was last judged; None if that takes too long."""
    until, shown, judged = time.monotonic() + _MOST_SECONDS, 0, rollout_pb2.RolloutLook()
    for found in client.rollouts.watch(route):
        if found.look.estimates:
            judged.CopyFrom(found.look)
        if found.revision != shown:
            shown = found.revision
            click.echo(f"    {state_name(found)}, {percent(found.share)} of the users: {found.last_transition.message}")
        if found.id == rollout and found.state in ENDED:
            found.look.CopyFrom(judged)
            return found
        if time.monotonic() > until:
            break
    return None


class _Traffic:
    """Users who ask, from the start of a `with` block to its end."""

    def __init__(self, client: Client, route: str, questions: Sequence[str]) -> None:
        self._client, self._route, self._questions = client, route, questions
        self._ended = Event()
        self._pool = ThreadPoolExecutor(_CLIENTS)
        self._users: list[Future[int]] = []

    def __enter__(self) -> None:
        self._users = [self._pool.submit(self._ask, random.Random(seed)) for seed in range(_CLIENTS)]

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._pool.shutdown()

    @property
    def requests(self) -> int:
        """How many were made; waits for the last ones."""
        return sum(user.result() for user in self._users)

    def _ask(self, draws: random.Random) -> int:
        made = 0
        while not self._ended.is_set():
            message = inference_pb2.Message(role="user", content=draws.choice(self._questions))
            user = f"user-{draws.randrange(_USERS)}"
            request = inference_pb2.GenerateRequest(route=self._route, messages=[message], unit_id=user)
            made += 1
            try:
                self._client.generate(request)
            except CallFailed:
                self._ended.wait(0.1)  # it counts against its variant
        return made
