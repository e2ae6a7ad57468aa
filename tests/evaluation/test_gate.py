"""The gate lets the better through and the equal not, and says why."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.support.evaluation_suites import answered, by_key, make_suite
from trivet.cli.evaluation.command import MARGIN
from trivet.errors import FailedPrecondition
from trivet.evaluation.gate import beats, examples_needed, holds, judge
from trivet.evaluation.report import Report, build_report
from trivet.evaluation.statistics import Bootstrap, Floats, percentile_bounds

RUNS, AT_ONCE, DRAWS, N = 10_000, 2_000, 1_000, 500


def evaluations(n: int, gained: float, lost: float) -> Iterator[tuple[Floats, Floats]]:
    """Estimates and low ends for candidates that truly gain and lose these shares, many at a time."""
    rng, bootstrap = np.random.default_rng(22), Bootstrap(n, draws=DRAWS)
    for _ in range(0, RUNS, AT_ONCE):
        rolls = rng.random((n, AT_ONCE))
        differences = (rolls < gained).astype(float) - (rolls > 1 - lost).astype(float)
        low, _ = percentile_bounds(bootstrap.means(differences))
        yield differences.mean(axis=0), low


def pass_rate(gained: float, lost: float) -> float:
    """How often the gate passes such a candidate at n = 500."""
    found = evaluations(N, gained, lost)
    return sum(int(beats(difference, low, MARGIN).sum()) for difference, low in found) / RUNS


def hold_rate(gained: float, lost: float) -> float:
    """How often an adapter is shown to lose less than 5 points on 400 general questions."""
    return sum(int(holds(low, 5.0).sum()) for _, low in evaluations(400, gained, lost)) / RUNS


@pytest.mark.parametrize(("gained", "lost"), [(0.05, 0.0), (0.08, 0.03)])
def test_a_candidate_that_is_5_points_better_passes(gained: float, lost: float) -> None:
    assert pass_rate(gained, lost) >= 0.90


@pytest.mark.parametrize("each", [0.0, 0.01, 0.05, 0.20])
def test_an_equal_candidate_does_not_pass(each: float) -> None:
    assert pass_rate(each, each) <= 0.05


def test_a_gain_below_the_margin_does_not_pass_however_sure_it_is() -> None:
    assert not beats(0.015, 0.012, 2.0)
    assert beats(0.02, 0.001, 2.0)
    assert beats(10 / 500, 1 / 500, 2.0)
    assert not beats(0.05, 0.0, 2.0)


def test_an_adapter_that_loses_the_margin_does_not_hold_the_general_part_and_a_harmless_one_does() -> None:
    assert hold_rate(0.03, 0.08) <= 0.05
    assert hold_rate(0.03, 0.03) >= 0.95


def test_the_general_part_must_be_shown_to_hold() -> None:
    assert holds(-0.02, 3.0)
    assert not holds(-0.03, 3.0)
    assert not holds(float("-inf"), 3.0)


def test_how_many_examples_a_gain_of_five_points_needs() -> None:
    assert 495 <= examples_needed(0.1214) <= 505
    assert examples_needed(0.29) > 1_000
    assert examples_needed(0.0) == 0


def report(folder: Path, better: int, worse: int, n: int = 200, general: tuple[int, int] | None = None) -> Report:
    """`rag` gains `better` examples and loses `worse`; its adapter does so with the `general` ones."""
    adapter = {"adapter": "terse@1"} if general else {}
    arms = {"plain": {"prompt": "answers@1"}, "rag": {"prompt": "answers@1", **adapter}}
    section = {"data": "questions.jsonl", "prompt": "answers@1", "margin": 3.0, "correct": ["exact_match"]}
    changes = {"general": section} if general else {}
    suite = make_suite(folder, [{"question": "?", "answer": "yes"}] * n, correct=["exact_match"], arms=arms, **changes)
    rest = n - better - worse
    groups = [
        answered(suite, "plain", ["no"] * better + ["yes"] * (worse + rest)),
        answered(suite, "rag", ["yes"] * better + ["no"] * worse + ["yes"] * rest),
    ]
    if general:
        gained, lost = general
        groups.append(answered(suite, "general/base", ["no"] * gained + ["yes"] * (n - gained)))
        texts = ["yes"] * gained + ["no"] * lost + ["yes"] * (n - gained - lost)
        groups.append(answered(suite, "general/terse@1", texts))
    return build_report(suite, "d", by_key(*groups), {})


def test_a_verdict_says_what_was_found(tmp_path: Path) -> None:
    verdict = judge(report(tmp_path, better=20, worse=2), "rag", 2.0, {"rag": None})
    assert verdict.passed
    assert verdict.checks[0].found.startswith("+9.0 points [+4.")
    assert not verdict.advice


def test_a_verdict_that_cannot_tell_says_how_many_questions_would_help(tmp_path: Path) -> None:
    verdict = judge(report(tmp_path, better=32, worse=26), "rag", 2.0, {"rag": None})
    assert not verdict.passed
    assert "29% of the questions" in verdict.advice
    assert "there are 200" in verdict.advice


@pytest.mark.parametrize(("general", "passed"), [((0, 0), True), ((4, 4), False), ((0, 12), False)])
def test_the_general_part_holds_a_candidate_back(tmp_path: Path, general: tuple[int, int], passed: bool) -> None:
    made = report(tmp_path, better=20, worse=2, general=general)
    verdict = judge(made, "rag", 2.0, {"rag": "terse@1"})
    assert [check.passed for check in verdict.checks] == [True, passed]
    assert judge(made, "rag", 2.0, {"rag": None}).passed
    with pytest.raises(FailedPrecondition, match="general/merged"):
        judge(made, "rag", 2.0, {"rag": "merged"})


def test_nothing_to_compare_is_told(tmp_path: Path) -> None:
    made = report(tmp_path, better=1, worse=1)
    with pytest.raises(FailedPrecondition, match="known: plain, rag"):
        judge(made, "nope", 2.0, {})
    with pytest.raises(FailedPrecondition, match="is the baseline itself"):
        judge(made, "plain", 2.0, {"plain": None})
