"""Evidence out of a project: arms, traffic, documents, what is missing; and the command over answers that are kept."""

from __future__ import annotations

import json
import sqlite3
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from tests.support.evaluation_suites import SCHEMA, write_suite
from tests.support.request_logs import NOON, receipt, write_log
from trivet.advice.evidence import Knowledge
from trivet.advice.traffic import RouteTraffic
from trivet.api.v1 import interaction_pb2
from trivet.cli.advice.gathering import AdviceOptions, Gathering
from trivet.cli.advice.missing import current_of, missing_arms
from trivet.cli.evaluation.run import Evaluation, EvaluationOptions
from trivet.cli.main import main
from trivet.config import Config, load_config
from trivet.costs.log_files import open_log
from trivet.costs.reading import Counts, entries
from trivet.errors import FailedPrecondition
from trivet.evaluation.outcomes import Outcome, OutcomeLog
from trivet.evaluation.suite import load_suite
from trivet.stores.document_usage import changes_since

MODEL = Path(__file__).parents[2] / "models" / "demo" / "weights"
QUESTIONS = 300
LINES: list[dict[str, Any]] = [{"question": f"q{number}", "answer": "yes"} for number in range(QUESTIONS)]
ARMS = {
    "plain": {"prompt": "answers@1"},
    "rag": {"prompt": "answers@1", "retrieval": {"index": "facts"}},
    "stuffed": {"prompt": "answers@1", "stuffed": "facts"},
}
RIGHT = {"plain": 30, "rag": 280, "stuffed": 285}


def write_project(folder: Path) -> Path:
    (folder / "prompts" / "answers").mkdir(parents=True)
    (folder / "prompts" / "answers" / "1.md").write_text("Answer.\n")
    (folder / "facts" / "corpus").mkdir(parents=True)
    (folder / "facts" / "index.yaml").write_text("version: 1\n")
    (folder / "facts" / "corpus" / "hub.md").write_text("# Hub\n\nThe hub weighs 410 grams.\n")
    prices = dict.fromkeys(("input_per_million_tokens", "output_per_million_tokens"), 1.0)
    data = {
        "version": 1,
        "server": {"data_dir": str(folder / "data")},
        "backends": {"local": {"kind": "embedded", "model": str(MODEL), "max_model_len": 300}},
        "indexes": {"facts": "facts"},
        "prices": {"local": {**prices, "cached_per_million_tokens": 0.1}},
        "routes": {"support": {"variants": {"v": {"weight": 1, "backend": "local", "prompt": "answers@1"}}}},
    }
    path = folder / "trivet.yaml"
    path.write_text(yaml.safe_dump(data))
    return path


@pytest.fixture
def project(tmp_path: Path) -> tuple[Config, Path]:
    """A configuration, and a suite whose arms have answered everything."""
    config = load_config(write_project(tmp_path))
    suite = write_suite(tmp_path / "numbers", LINES, correct=["exact_match"], arms=ARMS)
    keep_answers(config, suite)
    return config, suite


def keep_answers(config: Config, suite: Path) -> None:
    evaluation = Evaluation(config, suite, EvaluationOptions())
    evaluation.folder.mkdir(parents=True)
    with OutcomeLog(evaluation.folder / "results.jsonl") as log:
        for arm in evaluation.suite.main.arms:
            for number, example in enumerate(evaluation.suite.main.examples):
                text = "yes" if number < RIGHT[arm.name] else "no"
                log.add(Outcome(evaluation.digest, arm.name, example.id, text, input_tokens=100, cost=1000 + number))


def evidence_of(config: Config, suite: Path, **options: Any) -> Any:
    return Gathering(config, suite, AdviceOptions(ask=False, **options)).evidence()


def test_arms_are_what_the_evaluation_shows(project: tuple[Config, Path]) -> None:
    evidence = evidence_of(*project)
    assert {arm.name: sum(arm.right) for arm in evidence.arms} == RIGHT
    assert [arm.knowledge for arm in evidence.arms] == [Knowledge.NONE, Knowledge.RETRIEVED, Knowledge.STUFFED]
    assert all(arm.cost.low < arm.cost.value < arm.cost.high for arm in evidence.arms)
    assert evidence.current == "plain"
    assert evidence.corpus.name == "facts"
    assert 5 < evidence.corpus.tokens < 30
    assert evidence.traffic.prefix_tokens > 0


def test_form_is_set_aside(tmp_path: Path) -> None:
    config = load_config(write_project(tmp_path))
    correct = ["exact_match", "format_valid"]
    suite = write_suite(tmp_path / "formed", LINES, correct=correct, arms=ARMS, json_schema=SCHEMA)
    keep_answers(config, suite)
    plain = evidence_of(config, suite).arms[0]
    assert (sum(plain.right), sum(plain.value_right)) == (0, RIGHT["plain"])


@pytest.mark.parametrize(("changes", "action"), [("0", "stuff the prefix"), ("40", "add retrieval")])
def test_the_command_over_answers_that_are_kept(project: tuple[Config, Path], changes: str, action: str) -> None:
    config, suite = project
    page = config.path.parent / "advice.html"
    found = advise(config, suite, "--changes-per-month", changes, "--json", "--html", str(page))
    data = json.loads(found.stdout)
    assert (data["action"], data["current"]) == (action, "plain")
    assert [step["name"] for step in data["steps"]][:3] == ["gap", "capability", "knowledge"]
    text = page.read_text()
    assert "http" not in text.replace("http-equiv", "").replace("http://www.w3.org/2000/svg", "")
    assert "<script" not in text
    shown = advise(config, suite, "--changes-per-month", changes, "--requests-per-month", "1000000")
    assert shown.stdout.lower().startswith(action)
    assert "10,000,000 requests a month" in shown.stdout


def test_a_suite_without_answers_is_not_guessed_at(project: tuple[Config, Path]) -> None:
    config, suite = project
    (suite.parent / "questions.jsonl").write_text('{"question": "another", "answer": "yes"}\n')
    found = advise(config, suite)
    assert found.exit_code == 1
    assert "plain has no answers yet" in found.output


def test_a_name_that_is_nothing(project: tuple[Config, Path]) -> None:
    config, suite = project
    assert "no suite 'nothing'" in advise(config, "nothing").output
    assert "--suite says whose questions" in advise(config, "support").output
    assert "no arm 'x'; known: plain, rag, stuffed" in advise(config, suite, "--current", "x").output


def advise(config: Config, name: object, *more: str) -> Result:
    words = ["advise", str(name), "--config", str(config.path), "--no-ask", *more]
    return CliRunner().invoke(main, words)


def test_the_routes_variant_is_the_arm_that_is_the_same(project: tuple[Config, Path]) -> None:
    config, path = project
    suite, route = load_suite(path), config.routes["support"]
    assert current_of(route, suite).name == "plain"
    other = replace(suite.main.arms[0], prompt="others@1")
    assert current_of(route, replace(suite, main=replace(suite.main, arms=(other,)))).name == "current"


def test_missing_arms_change_one_leg(project: tuple[Config, Path]) -> None:
    config, path = project
    suite = load_suite(path)
    alone = replace(suite, main=replace(suite.main, arms=suite.main.arms[1:2], baseline="rag"))
    made = missing_arms(alone, suite.main.arms[1], config)
    assert [(arm.name, arm.index, arm.stuffed) for arm in made] == [
        ("without-documents", None, None), ("stuffed-prefix", None, "facts"),
    ]  # fmt: skip
    adapted = replace(suite.main.arms[1], name="hybrid", adapter="a@1")
    both = replace(suite, main=replace(suite.main, arms=(adapted,), baseline="hybrid"))
    names = [arm.name for arm in missing_arms(both, adapted, config)]
    assert names == ["without-adapter", "without-documents", "stuffed-prefix"]
    assert missing_arms(suite, suite.main.arms[0], config) == ()


def test_traffic_is_what_the_request_log_says(tmp_path: Path) -> None:
    write_log(
        tmp_path / "receipts.jsonl",
        *(receipt(number, prompt=f"p@{number // 100}", ttft_ms=float(number)) for number in range(240)),
        receipt(241, route="other"),
        receipt(242, code="UNAVAILABLE"),
        receipt(243, account="shadow", shadow=True),
    )
    sums = RouteTraffic("support")
    with open_log(tmp_path) as files:
        sums.add_all(entries(files, Counts()))
    found = sums.traffic(NOON + timedelta(days=10), 50, (1.0, 0.1))
    assert found.requests_per_month == pytest.approx(24 * 365.25 / 12)
    assert found.prompt_changes_per_month == pytest.approx(2 / 10 * 365.25 / 12)
    assert found.ttft_ms == 228.0
    assert found.prefix_cost == pytest.approx(50 * 0.1 * 1000)  # 60 of 100 are cached: all of the prefix
    early = sums.traffic(NOON + timedelta(hours=1), 50, None)
    assert (early.prompt_changes_per_month, early.prefix_cost) == (None, None)
    assert RouteTraffic("nothing").traffic(NOON, None, None).requests_per_month is None


def test_how_often_documents_change(tmp_path: Path) -> None:
    path, now = tmp_path / "documents.sqlite", time.time()
    assert changes_since(path, "facts", 0) is None
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE entries (index_name TEXT, time REAL, revision INTEGER, deleted INTEGER)")
        rows = [("facts", now - 100, 1, 0), ("facts", now - 50, 2, 0), ("facts", now - 5, 1, 1), ("other", now, 9, 0)]
        database.executemany("INSERT INTO entries VALUES (?, ?, ?, ?)", rows)
    database.close()
    assert changes_since(path, "facts", now - 60) == (2, now - 100)
    assert changes_since(path, "facts", now - 10) == (1, now - 100)
    assert changes_since(path, "nothing", 0) is None
    path.write_bytes(b"no database")
    assert changes_since(path, "facts", 0) is None


def test_a_route_with_an_adapter_of_each_request_is_no_arm(project: tuple[Config, Path]) -> None:
    config, path = project
    route = config.routes["support"]
    from trivet.types.variant import AdapterBy, AdapterChoice, AdapterFallback

    choice = AdapterChoice(AdapterBy.TENANT, (), AdapterFallback.BASE)
    chosen = replace(route, variants={"v": replace(route.variants["v"], adapter_choice=choice)})
    with pytest.raises(FailedPrecondition, match="its own adapter"):
        current_of(chosen, load_suite(path))


def test_examples_are_counted_in_a_running_servers_log(
    project: tuple[Config, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Server:
        def __init__(self, _: object) -> None:
            self.interactions = self

        def __enter__(self) -> Server:
            return self

        def __exit__(self, *_: object) -> None: ...

        def count(self, wanted: interaction_pb2.InteractionFilter) -> list[interaction_pb2.InteractionCount]:
            assert wanted == interaction_pb2.InteractionFilter(routes=["support"], rated=True)
            return [interaction_pb2.InteractionCount(stored=number) for number in (1100, 100)]

    monkeypatch.setattr("trivet.cli.advice.command.Client", Server)
    config, path = project
    counted = advise(config, path, "--no-ask", "--route", "support", "--count-examples", "--json")
    given = advise(config, path, "--no-ask", "--route", "support", "--examples", "1200", "--json")
    assert counted.exit_code == given.exit_code == 0, counted.output
    assert json.loads(counted.stdout) == json.loads(given.stdout)
    nobody = advise(config, path, "--no-ask", "--count-examples")
    assert nobody.exit_code == 2
    assert "--count-examples needs a route" in nobody.output
