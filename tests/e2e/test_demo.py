"""`trivet demo`, whole, on the server that these tests share."""

from __future__ import annotations

import re
from contextlib import nullcontext
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.support.accounts.request_log import logged_receipts
from trivet.api.v1 import inference_pb2
from trivet.cli.demo.table import CONTENDER, RIVALS
from trivet.cli.main import main
from trivet.cli.server.process import ServerProcess
from trivet.client import Client

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.engine


def answers(data: Path) -> int:
    return sum(path.read_bytes().count(b"\n") for path in data.glob("demo/evals/handbook/*/results.jsonl"))


@pytest.fixture
def answered(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The request ids of what clients in this process are answered from now on, the traffic of rollouts left out. Not
    of what fails: a search that finds the vector process away is made again."""
    ids: list[str] = []
    generate = Client.generate

    def noted(client: Client, request: inference_pb2.GenerateRequest) -> inference_pb2.GenerateResponse:
        response = generate(client, request)
        if not request.unit_id.startswith("user-"):
            ids.append(response.receipt.request_id)
        return response

    monkeypatch.setattr(Client, "generate", noted)
    return ids


@pytest.mark.timeout(600)  # it may be the first to need the server
def test_the_demo_ends_with_a_table_and_what_it_means_and_can_be_run_again(
    server: ServerProcess, answered: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trivet.cli.demo.command.ServerProcess", lambda config, data: nullcontext(server))
    words = ["demo", "--config", str(ROOT / "trivet.yaml"), "--data-dir", str(tmp_path), "--limit", "8"]
    for _ in range(2):
        answered.clear()
        done = CliRunner().invoke(main, words, catch_exceptions=False)
        assert done.exit_code == 0, done.output
        # Nothing is shown from an earlier run: each answer was given in this one, by the server, and once.
        assert len(answered) == answers(tmp_path) + 8 == 8 * (len(RIVALS) + 1) + 8
        logged = [line["request_id"] for line in logged_receipts(server.data_dir, len(answered))]
        assert sorted(one for one in logged if one in answered) == sorted(set(answered)) == sorted(answered)
        rollouts = done.stdout.partition("7. Another variant")[2].partition("8. What")[0]
        better, _, broken = rollouts.partition("A candidate without the adapter")
        assert "    promoted, 100% of the users: The soak has passed." in better
        assert re.search(r"    rolled back, 0% of the users: format: the candidate is \+[0-9.]+ points beyond", broken)
        assert "Rolled back after" in (tmp_path / "demo" / "rollout-support-form.html").read_text()
        table = done.stdout.partition("8. What each leg is worth")[2]
        assert "Questions: n = 8" in table
        for arm in (*RIVALS, CONTENDER):
            assert re.search(rf"^{re.escape(arm)} +\d+\.\d \[\d+, \d+\] ", table, re.MULTILINE), arm
        assert re.search(rf"^{CONTENDER} (wins|does not win|is not shown to win): .*n = 8.*zero", table, re.MULTILINE)
        assert "trivet eval handbook" in table
