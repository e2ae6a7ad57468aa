"""The watch over routes' questions: beside them, bounded, kept between two lives, and told of in metrics and a file."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from tests.support.request_logs import NOON, receipt, write_log
from tests.support.retrieval.question_streams import questions
from trivet.api.v1 import interaction_pb2
from trivet.cli.drift.weeks import weeks_of
from trivet.cli.main import main
from trivet.costs.log_files import open_log
from trivet.costs.reading import Counts, entries
from trivet.drift import watch as module
from trivet.drift.unanswered import says_nothing
from trivet.drift.watch import MOST_WAITING, DriftWatch
from trivet.types.passage import QueryVector
from trivet.types.variant import DriftSettings

BEFORE, AFTER = (0.5, 0.5, 0.0), (0.0, 0.0, 1.0)
SETTINGS = DriftSettings(reference=200, alarm_days=7.0)


@dataclass
class Watched:
    watch: DriftWatch
    told: list[tuple[str, float, bool]] = field(default_factory=list)
    now: float = 1000.0
    asked: int = 0

    def ask(self, n: int, shares: tuple[float, ...], *, route: str = "support", model: str = "m") -> None:
        rng = np.random.default_rng(self.asked)
        for vector in questions(rng, n, shares):
            self.asked += 1
            self.watch.offer(route, f"r{self.asked}", QueryVector(model, vector))


def watched(folder: Path) -> Watched:
    def settings(route: str) -> DriftSettings | None:
        return SETTINGS if route == "support" else None

    told: list[tuple[str, float, bool]] = []
    made = Watched(DriftWatch(folder, settings, lambda *said: told.append(said), lambda: made.now), told)
    return made


async def test_another_topic_is_an_alarm_for_a_week(tmp_path: Path) -> None:
    one = watched(tmp_path)
    one.ask(260, BEFORE)
    await one.watch.flush()
    assert [alarmed for _, _, alarmed in one.told] == [False]
    one.ask(150, AFTER)
    await one.watch.flush()
    assert any(alarmed for _, _, alarmed in one.told)
    one.now += 8 * 86_400
    one.ask(1, AFTER)
    await one.watch.flush()
    assert [alarmed for _, _, alarmed in one.told] == [False, True, False]
    status = json.loads((tmp_path / "support.json").read_text())
    assert (status["alarms"], status["alarmed_at"]) == (1, 1000.0)
    assert any(request for topic in status["new"] for request in topic["requests"])


async def test_an_alarm_ends_though_nobody_asks(tmp_path: Path) -> None:
    one = watched(tmp_path)
    one.ask(260, BEFORE)
    one.ask(150, AFTER)
    await one.watch.flush()
    await one.watch.flush()
    assert [alarmed for _, _, alarmed in one.told] == [True]
    one.now += 8 * 86_400
    await one.watch.flush()
    await one.watch.flush()
    assert [alarmed for _, _, alarmed in one.told] == [True, False]
    assert not json.loads((tmp_path / "support.json").read_text())["alarmed"]


async def test_a_route_that_is_watched_no_longer_has_no_alarm(tmp_path: Path) -> None:
    watching: dict[str, DriftSettings] = {"support": SETTINGS}
    one = Watched(DriftWatch(tmp_path, watching.get, lambda *said: one.told.append(said), lambda: one.now))
    one.ask(260, BEFORE)
    one.ask(150, AFTER)
    await one.watch.flush()
    watching.clear()
    await one.watch.flush()
    await one.watch.flush()
    assert one.told[1:] == [("support", 0.0, False)]


async def test_a_route_that_is_not_watched_costs_nothing(tmp_path: Path) -> None:
    one = watched(tmp_path)
    one.ask(10, BEFORE, route="other")
    await one.watch.flush()
    await one.watch.close()
    assert one.told == []
    assert not (tmp_path / "other.npz").exists()


async def test_what_waits_is_bounded(tmp_path: Path) -> None:
    one = watched(tmp_path)
    one.ask(MOST_WAITING + 50, BEFORE)
    await one.watch.flush()
    await one.watch.close()
    assert json.loads((tmp_path / "support.json").read_text())["questions"] == MOST_WAITING


async def test_it_goes_on_after_a_restart(tmp_path: Path) -> None:
    one = watched(tmp_path)
    one.ask(260, BEFORE)
    await one.watch.close()
    again = watched(tmp_path)
    again.asked = one.asked
    again.ask(150, AFTER)
    await again.watch.close()
    assert again.told[-1][2]
    assert json.loads((tmp_path / "support.json").read_text())["questions"] == 410


async def test_an_alarm_is_told_of_after_a_restart_before_anybody_asks(tmp_path: Path) -> None:
    one = watched(tmp_path)
    one.ask(260, BEFORE)
    one.ask(150, AFTER)
    await one.watch.close()
    assert one.told[-1][2]
    again = watched(tmp_path)
    again.watch.recall("support")
    again.watch.recall("other")
    assert [(route, alarmed) for route, _, alarmed in again.told] == [("support", True)]


async def test_another_embedding_model_is_another_reference(tmp_path: Path) -> None:
    one = watched(tmp_path)
    one.ask(260, BEFORE)
    one.ask(150, AFTER, model="other")
    await one.watch.close()
    assert not one.told[-1][2]
    assert json.loads((tmp_path / "support.json").read_text())["collected"] == 150


async def test_a_disk_that_is_full_stops_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "save", full)
    one = watched(tmp_path)
    one.ask(260, BEFORE)
    await one.watch.close()
    assert one.told


def test_answers_that_say_that_nothing_was_found() -> None:
    texts = ("I do not know.", '{"answer": "", "found": false}')
    assert says_nothing("  i do  not know", texts)
    assert says_nothing('{"answer": "", "found": false}', texts)
    assert not says_nothing("I do not know the price.", texts)
    assert not says_nothing("I do not know" + " " * 5000, texts)
    assert not says_nothing("", ())


def test_weeks_by_both_logs(tmp_path: Path) -> None:
    write_log(
        tmp_path / "receipts.jsonl",
        *(receipt(number, degraded=("low_confidence",) if number == 0 else ()) for number in range(4)),
        receipt(4, route="other"),
        receipt(5, code="UNAVAILABLE"),
        receipt(24 * 8),
    )
    rated = []
    for score in (1.0, 0.9, 0.0):
        one = interaction_pb2.Interaction(route="support", rating=interaction_pb2.Rating(score=score))
        one.stored_at.FromDatetime(NOON)
        rated.append(one)
    with open_log(tmp_path) as files:
        first, second = weeks_of("support", entries(files, Counts()), rated)
    assert (first.begins.weekday(), first.requests, first.low_confidence) == (0, 4, 1)
    assert first.accuracy is not None
    share, interval = first.accuracy
    assert share == pytest.approx(2 / 3)
    assert interval.low < share < interval.high
    assert (second.requests, second.accuracy) == (1, None)


async def test_the_command_reads_the_data_folder(tmp_path: Path) -> None:
    one = watched(tmp_path / "drift")
    one.ask(260, BEFORE)
    one.ask(150, AFTER)
    await one.watch.close()
    (tmp_path / "drift" / "torn.json").write_text("{")
    shown = CliRunner().invoke(main, ["drift", "--data-dir", str(tmp_path)])
    assert "retrain or re-index" in shown.stdout
    data = json.loads(CliRunner().invoke(main, ["drift", "support", "--data-dir", str(tmp_path), "--json"]).stdout)
    assert data["routes"]["support"]["alarmed"] is True
    unknown = CliRunner().invoke(main, ["drift", "nothing", "--data-dir", str(tmp_path)])
    assert unknown.exit_code == 1
    assert CliRunner().invoke(main, ["drift", "--weeks", "3"]).exit_code == 2
