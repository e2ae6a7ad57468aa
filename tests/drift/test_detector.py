"""Whether questions have changed: no alarm without a change, one soon after, and what is new."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.support.retrieval.question_streams import questions
from trivet.drift import detector as module
from trivet.drift.detector import ALPHA, Detector
from trivet.drift.martingale import BETS, Martingale, bets
from trivet.drift.reference import SCORES
from trivet.drift.state import RouteDrift, load, save

BEFORE = (0.4, 0.3, 0.2, 0.1, 0.0)
REFERENCE = 300


def names(n: int) -> list[str]:
    return [f"r{number}" for number in range(n)]


def watching(seed: int) -> tuple[np.random.Generator, Detector]:
    rng = np.random.default_rng(seed)
    return rng, Detector.of(questions(rng, REFERENCE, BEFORE), seed)


def asked_until_alarm(seed: int, after: tuple[float, ...], *, before: int = 0, most: int = 600) -> int | None:
    rng, detector = watching(seed)
    detector.add(questions(rng, before, BEFORE), names(before))
    seen = detector.add(questions(rng, most, after), names(most))
    return seen if detector.alarmed else None


def test_a_bet_on_uniform_numbers_neither_wins_nor_loses() -> None:
    p_values = (np.arange(200_000) + 0.5) / 200_000
    assert bets(p_values).mean(axis=0) == pytest.approx(np.ones(BETS), abs=0.01)
    assert bets(p_values).min() >= 0


def test_what_is_held_back_and_what_is_at_stake_are_together_the_capital() -> None:
    game = Martingale(3)
    for _ in range(500):
        game.capital = game.capital.copy()
        game.add(np.full(3, 0.5))
    assert game.reserve == pytest.approx(1 / 11)  # ten windows of 50
    assert game.total < 1.5


def test_without_a_change_there_is_hardly_an_alarm() -> None:
    """By Ville's inequality 5% at most; of 40 so many as 6 would come in one of a hundred runs at that."""
    alarms = sum(asked_until_alarm(seed, BEFORE) is not None for seed in range(40))
    assert alarms <= 5


@pytest.mark.parametrize(
    ("after", "most"),
    [((0.0, 0.0, 0.0, 0.0, 1.0), 60), ((0.2, 0.15, 0.1, 0.05, 0.5), 150), ((0.1, 0.1, 0.2, 0.6, 0.0), 200)],
    ids=["another topic", "half of them another topic", "another mix"],
)
def test_a_change_is_found_soon(after: tuple[float, ...], most: int) -> None:
    found = [asked_until_alarm(seed, after, before=200) for seed in range(10)]
    assert all(seen is not None and seen <= most for seen in found), found


def test_a_late_change_is_found_as_well() -> None:
    seen = asked_until_alarm(3, (0.0, 0.0, 0.0, 0.0, 1.0), before=3000)
    assert seen is not None
    assert seen <= 100


def test_questions_that_are_all_the_same_can_be_a_reference() -> None:
    same = np.ones((REFERENCE, 8), dtype=np.float32)
    detector = Detector.of(same, 0)
    detector.add(same[:100], names(100))
    assert not detector.alarmed


def test_what_is_new_is_named_by_its_requests() -> None:
    rng, detector = watching(5)
    detector.add(questions(rng, 100, BEFORE), [f"old{number}" for number in range(100)])
    detector.add(questions(rng, 200, (0.0, 0.0, 0.0, 0.0, 1.0)), [f"new{number}" for number in range(200)])
    assert detector.alarmed
    topics = detector.new_topics()
    named = [request for topic in topics for request in topic.requests]
    assert named
    assert sum(request.startswith("new") for request in named) >= 0.7 * len(named)
    assert 0 < sum(topic.share for topic in topics) <= 1


def test_it_sees_so_many_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_SEEN", REFERENCE // 2 + 10)
    rng, detector = watching(1)
    assert detector.add(questions(rng, 50, BEFORE), names(50)) == 10
    assert detector.full


@pytest.fixture(params=["collecting", "watching"])
def state(request: pytest.FixtureRequest) -> RouteDrift:
    """Before and after the reference is whole."""
    rng, detector = watching(2)
    made = RouteDrift(model="m/32", questions=REFERENCE, alarms=1, alarmed_at=7.0)
    if request.param == "collecting":
        made.collected = list(questions(rng, 20, BEFORE))
    else:
        detector.add(questions(rng, 120, BEFORE), names(120))
        made.detector = detector
    return made


def test_it_goes_on_where_it_was(state: RouteDrift, tmp_path: Path) -> None:
    save(state, tmp_path, "support", status={"questions": 1})
    found = load(tmp_path, "support")
    assert found is not None
    assert (found.model, found.questions, found.alarms, found.alarmed_at) == ("m/32", REFERENCE, 1, 7.0)
    assert np.array_equal(np.array(found.collected), np.array(state.collected))
    if state.detector is None:
        assert found.detector is None
        return
    assert found.detector is not None
    assert found.detector.evidence == pytest.approx(state.detector.evidence)
    assert found.detector.martingale.capital.shape == (SCORES, BETS)
    rng = np.random.default_rng(9)
    found.detector.add(questions(rng, 200, (0.0, 0.0, 0.0, 0.0, 1.0)), names(200))
    assert found.detector.alarmed


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 no archive", b"\x93NUMPY"])
def test_a_damaged_file_is_as_good_as_none(damage: bytes, tmp_path: Path) -> None:
    (tmp_path / "support.npz").write_bytes(damage)
    assert load(tmp_path, "support") is None
    assert load(tmp_path, "other") is None


def test_a_half_written_file_is_as_good_as_none(state: RouteDrift, tmp_path: Path) -> None:
    save(state, tmp_path, "support", status={})
    path = tmp_path / "support.npz"
    path.write_bytes(path.read_bytes()[:-200])
    assert load(tmp_path, "support") is None


def test_the_level_is_a_twentieth() -> None:
    assert ALPHA == 0.05
