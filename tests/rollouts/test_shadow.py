"""Shadow pairs: their agreement, how a step of them is judged, and the same numbers from receipts by a second way."""

from __future__ import annotations

import json
import math
import random
import zlib
from collections import defaultdict
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.support.rollout_observations import SPEC
from trivet.metering.receipt_log import from_json, to_json
from trivet.rollouts.agreement import agreement_of, pair_of
from trivet.rollouts.control.batches import StepReport, pack, unpack
from trivet.rollouts.judgement.case import Health, Reason
from trivet.rollouts.judgement.decisions import Decision, decide
from trivet.rollouts.judgement.evidence import Test
from trivet.rollouts.observation import Exclusion, Outcome, exclusion
from trivet.rollouts.receipts import observation_of
from trivet.rollouts.spec import Guardrail, GuardrailKind, RolloutSpec, problems
from trivet.rollouts.states import Event, Position, State
from trivet.rollouts.tallying.tally import StepTally
from trivet.types.receipt import Receipt, ShadowPair, UnitSource
from trivet.types.rollout import Arm, RouteRollout
from trivet.types.rollout_state import ObservationBatch, StoredBatch

AGREEMENT = Guardrail(GuardrailKind.SHADOW_AGREEMENT, tolerance=0.3)
SHADOWING = replace(SPEC, shadow_seconds=60.0, shadow_share=0.5, guardrails=(*SPEC.guardrails, AGREEMENT))
ROLLOUT = RouteRollout("r1", "shadow", -1, "old", "new", 0.0, 0.0, "salt", shadow_share=0.5)
REAL = Receipt(
    request_id="q1", tenant="acme", route="ask", created_at=datetime(2026, 11, 1, tzinfo=UTC), code="OK", variant="old",
    unit_source=UnitSource.REQUEST, rollout="r1", rollout_step=-1, unit_hash="a" * 16, text_hash="b" * 16,
    format_valid=True,
)  # fmt: skip
SINCE = 1000.0
NOW = SINCE + 61


@pytest.mark.parametrize(
    ("equal", "ratio", "real", "copy", "expected"),
    [
        (True, 1.0, True, True, 1.0),
        (True, 1.0, False, False, 1.0),
        (False, 0.5, None, None, 0.25),
        (False, 1.0, True, True, 0.5),
        (False, 1.0, True, False, 0.0),
        (False, 1.0, False, True, 0.0),
        (False, 0.0, None, None, 0.0),
    ],
)
def test_agreement_is_one_number(
    equal: bool, ratio: float, real: bool | None, copy: bool | None, expected: float
) -> None:
    found = agreement_of(equal=equal, length_ratio=ratio, real_format_valid=real, format_valid=copy)
    assert found == expected


def pair(text: str | None, code: str = "OK", real_text: str = "four", valid: bool | None = True) -> ShadowPair | None:
    return pair_of(REAL, real_text, code=code, text=text, format_valid=valid)


def test_a_pair_tells_how_both_texts_are_alike() -> None:
    assert pair("four") == ShadowPair("q1", True, 1.0, 1.0, True)
    assert pair("") == ShadowPair("q1", False, 0.0, 0.0, True)
    assert pair("", real_text="") == ShadowPair("q1", True, 1.0, 1.0, True)
    assert pair("eighteen") == ShadowPair("q1", False, 0.5, 0.25, True)
    assert pair("eighteen", valid=False) == ShadowPair("q1", False, 0.5, 0.0, True)


@pytest.mark.parametrize("code", ["INTERNAL", "INVALID_ARGUMENT", "NOT_FOUND", "FAILED_PRECONDITION"])
def test_a_copy_that_failed_agrees_with_nothing(code: str) -> None:
    assert pair(None, code) == ShadowPair("q1", False, 0.0, 0.0, True)


@pytest.mark.parametrize("code", ["CANCELLED", "DEADLINE_EXCEEDED", "UNAVAILABLE", "RESOURCE_EXHAUSTED"])
def test_a_copy_that_was_stopped_says_nothing(code: str) -> None:
    assert pair(None, code) is None


def copy_of(found: ShadowPair | None, **changes: Any) -> Receipt:
    marks: dict[str, Any] = {"request_id": "shadow-1", "variant": "new", "shadow": True, "account": "shadow"}
    return replace(REAL, **{**marks, "shadow_pair": found, **changes})


def test_what_a_copys_receipt_counts_as() -> None:
    found = observation_of(copy_of(ShadowPair("q1", False, 1.0, 0.5, True, ("retrieval_timeout",))), ROLLOUT, 1.0)
    assert found is not None
    assert (found.arm, found.agreement, found.real_format_valid, found.real_degraded) == (
        Arm.CANDIDATE, 0.5, True, True,
    )  # fmt: skip
    assert exclusion(found) is None
    cold = observation_of(copy_of(found=ShadowPair("q1", True, 1.0, 1.0), cold=True), ROLLOUT, 1.0)
    assert cold is not None
    assert exclusion(cold) is None, "its times are not compared"
    failed = observation_of(copy_of(pair(None, "INVALID_ARGUMENT"), code="INVALID_ARGUMENT"), ROLLOUT, 1.0)
    assert failed is not None
    assert (failed.outcome, exclusion(failed)) == (Outcome.FAILED, None)
    stopped = observation_of(copy_of(None, code="CANCELLED"), ROLLOUT, 1.0)
    assert stopped is not None
    assert exclusion(stopped) is Exclusion.SHADOW


def test_a_copy_is_no_retry_of_its_original_and_not_in_stables_numbers() -> None:
    tally = StepTally(-1, SHADOWING.guardrails)
    for at, receipt in enumerate((REAL, copy_of(pair("eight")))):
        found = observation_of(receipt, ROLLOUT, float(at))
        assert found is not None
        assert tally.add(found) is None
    again = observation_of(replace(copy_of(pair("eight")), request_id="shadow-2"), ROLLOUT, 2.0)
    assert again is not None
    assert tally.add(again) is Exclusion.REPEATED
    counted = tally.statistics(share=0.0, now=2.0)
    assert counted.units == {Arm.STABLE: 1, Arm.CANDIDATE: 1}
    assert counted.sums[Arm.STABLE][GuardrailKind.SHADOW_AGREEMENT].values()[1] == 0
    assert counted.sums[Arm.CANDIDATE][GuardrailKind.ERROR].values()[1] == 0
    assert counted.sums[Arm.CANDIDATE][GuardrailKind.SHADOW_AGREEMENT].values()[1:3] == (1, 0.6)


def test_units_of_the_shadow_are_new_to_the_first_step() -> None:
    """Else the rule of the first percent, which bets on new units, would have none left after a day of copies."""
    tally = StepTally(-1, SHADOWING.guardrails)
    found = observation_of(copy_of(pair("eight")), ROLLOUT, 1.0)
    assert found is not None
    tally.add(found)
    assert tally.first_steps == {}
    first = StepTally(0, SHADOWING.guardrails, first_steps=tally.first_steps)
    first.arrive("eight", Arm.CANDIDATE)
    assert first.statistics(share=0.5, now=1.0).new_units[Arm.CANDIDATE] == 1


def test_pairs_are_told_to_the_leader_and_earlier_batches_can_still_be_read() -> None:
    found = observation_of(copy_of(ShadowPair("q1", False, 1.0, 0.5, False, ("retrieval_timeout",))), ROLLOUT, 1.0)
    assert found is not None
    stored = StoredBatch(1, 1.0, ObservationBatch("r1", -1, "g", "e", 1, pack(StepReport([found]), 1.0)))
    assert unpack(stored).observations == [found]
    told = json.loads(zlib.decompress(stored.batch.data))
    for fields, readable in ((12, True), (10, True), (9, False), (13, False)):
        rows = [[*row, *[None] * 3][: 3 + fields] for row in told["observations"]]
        data = zlib.compress(json.dumps({**told, "observations": rows}).encode())
        other = replace(stored, batch=replace(stored.batch, data=data))
        if readable:
            (read,) = unpack(other).observations
            assert (read.agreement, read.real_degraded) == (0.5, fields == 12)
        else:
            with pytest.raises(ValueError, match=f"{fields} fields of an observation, expected 10 to 12"):
                unpack(other)


def judged(pairs: list[Receipt], now: float = NOW, spec: RolloutSpec = SHADOWING) -> Decision:
    tally = StepTally(-1, spec.guardrails)
    for number, receipt in enumerate(pairs):
        found = observation_of(receipt, ROLLOUT, SINCE + number * 0.001)
        assert found is not None
        tally.add(found)
    return decide(spec, Position(State.SHADOW, since=SINCE), tally.statistics(share=0.0, now=now), Health(), now)


def drawn(seed: int, units: int, *, unlike: float = 0.2, broken: float = 0.1) -> list[Receipt]:
    """Pairs of stable and candidate in every constellation, several for most units, in the request log's form."""
    rng, receipts = random.Random(seed), []
    for number in range(units * 4):
        unit = f"{int(units * rng.random() ** 1.5):016x}"
        valid = None if rng.random() < 0.05 else rng.random() > 0.1
        degraded = ("retrieval_timeout",) if rng.random() < 0.05 else ()
        real = replace(
            REAL, request_id=f"q{number}", unit_hash=unit, text_hash=f"{number:016x}", format_valid=valid,
            degraded=degraded,
        )  # fmt: skip
        text = "a different text" if rng.random() < unlike else "the same text"
        code = rng.choices(["OK", "INTERNAL", "CANCELLED", "UNAVAILABLE"], weights=(95, 2, 2, 1))[0]
        copy_valid = None if valid is None or code != "OK" else (rng.random() > broken if "diff" in text else valid)
        made = pair_of(real, "the same text", code=code, text=text if code == "OK" else None, format_valid=copy_valid)
        receipts += [
            real,
            copy_of(
                made, request_id=f"shadow-{number}", unit_hash=unit, text_hash=real.text_hash, code=code,
                format_valid=copy_valid, degraded=("examples_timeout",) if rng.random() < 0.05 else (),
                cold=rng.random() < 0.1,
            ),
        ]  # fmt: skip
    return receipts


def second_way(log: list[str]) -> dict[str, tuple[float, float, int]]:
    """Rate of the differences, their variance, units; from the lines of the request log alone, written plainly."""
    lines = [json.loads(line) for line in log]
    originals = {line["request_id"]: line for line in lines if not line.get("shadow")}
    units: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    taken: dict[str, int] = defaultdict(int)
    for line in lines:
        if "shadow_pair" not in line or taken[line["unit_hash"]] == 20:
            continue
        taken[line["unit_hash"]] += 1
        numbers = units[line["unit_hash"]]
        original = originals[line["shadow_pair"]["request_id"]]
        both = [original.get("format_valid"), line.get("format_valid")]
        if line["code"] != "OK":
            numbers["shadow_agreement"].append(1.0)
            continue
        if line["shadow_pair"]["equal"]:
            numbers["shadow_agreement"].append(0.0)
        elif False in both:
            numbers["shadow_agreement"].append(1.0)
        else:
            numbers["shadow_agreement"].append(1 - line["shadow_pair"]["length_ratio"] / 2)
        if None not in both:
            numbers["format"].append((not both[1]) - (not both[0]))
        numbers["degraded"].append(bool(line.get("degraded")) - bool(original.get("degraded")))
    found = {}
    for kind in ("shadow_agreement", "format", "degraded"):
        rows = [numbers[kind] for numbers in units.values() if numbers[kind]]
        n = sum(map(len, rows))
        rate = sum(map(sum, rows)) / n
        spread = sum((sum(row) - rate * len(row)) ** 2 for row in rows)
        found[kind] = rate, spread / n**2 * len(rows) / (len(rows) - 1), len(rows)
    return found


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("unlike", [0.1, 0.9])
def test_agreement_and_differences_can_be_computed_again_from_receipts(seed: int, unlike: float) -> None:
    receipts = drawn(seed, 300, unlike=unlike)
    log = [json.dumps(to_json(receipt)) for receipt in receipts]
    found = judged([from_json(json.loads(line)) for line in log])
    assert (found.event is Event.ROLLBACK) == (unlike > 0.5), found.message
    assert found.evidence is not None
    again = second_way(log)
    assert {test.kind.value for test in found.evidence.tests} == set(again)
    for test in found.evidence.tests:
        rate, variance, units = again[test.kind.value]
        tolerance = 0.3 if test.test is Test.AGREEMENT else 0.0
        inner = -2 * math.log(2 * SHADOWING.alpha / (7 * 3))
        x = units * (inner + math.log(1 + inner)) / 100
        bound = math.sqrt(2 * (1 + 1 / x) * math.log(1 + math.sqrt(1 + x) / (2 * SHADOWING.alpha / (7 * 3))))
        z = (rate - tolerance) / math.sqrt(variance)
        assert test.candidate[0] == units
        assert test.stable[0] == 0
        assert test.estimate == pytest.approx(rate - tolerance, abs=1e-9)
        assert test.z == pytest.approx(z, abs=1e-9)
        assert test.boundary == pytest.approx(bound, abs=1e-9)
        assert test.crossed == (z > bound)


def test_forms_are_compared_within_pairs() -> None:
    """Both arms break as many forms: what one answer breaks the other breaks too, and nothing differs."""
    receipts = []
    for number in range(200):
        valid = number % 2 == 0
        real = replace(REAL, request_id=f"q{number}", unit_hash=f"{number:016x}", format_valid=valid)
        made = pair_of(real, "x", code="OK", text="x", format_valid=valid)
        receipts.append(copy_of(made, request_id=f"s{number}", unit_hash=real.unit_hash, format_valid=valid))
    found = judged(receipts)
    assert found.event is Event.BEGIN_CANARY, found.message
    assert found.evidence is not None
    (form,) = [test for test in found.evidence.tests if test.kind is GuardrailKind.FORMAT]
    assert (form.test, form.estimate, form.candidate[:3]) == (Test.PAIRED, 0.0, (200.0, 200.0, 0.0))


def test_a_candidate_that_breaks_what_stable_keeps_is_rolled_back_before_its_first_unit() -> None:
    spec = replace(SHADOWING, guardrails=SPEC.guardrails)
    receipts = []
    for number in range(100):
        real = replace(REAL, request_id=f"q{number}", unit_hash=f"{number:016x}")
        made = pair_of(real, "x", code="OK", text="y", format_valid=number % 3 > 0)
        receipts.append(copy_of(made, request_id=f"s{number}", unit_hash=real.unit_hash, format_valid=number % 3 > 0))
    found = judged(receipts, spec=spec)
    assert (found.event, found.reason) == (Event.ROLLBACK, Reason.GUARDRAIL_CROSSED)
    assert found.message.startswith("format:")


def crossings(runs: int, harm: float) -> int:
    """How many shadows of 600 pairs of 150 units are rolled back, looked at every 20 pairs.

    Stable breaks 10% of its forms, the candidate as many and `harm` more; the texts agree as often as may be just so.
    """
    guardrails = (Guardrail(GuardrailKind.FORMAT, margin=0.1, required=True), replace(AGREEMENT, tolerance=0.2))
    spec = replace(SHADOWING, guardrails=guardrails, steps=(0.5,), alpha=0.2)
    rng, found = random.Random(11), 0
    for _ in range(runs):
        tally, crossed = StepTally(-1, guardrails), False
        for number in range(600):
            unit = f"{int(150 * rng.random() ** 2):016x}"
            valid, other = rng.random() > 0.1, rng.random() > 0.1 + harm
            real = replace(REAL, request_id=f"q{number}", unit_hash=unit, text_hash=str(number), format_valid=valid)
            agreement = 0.0 if rng.random() < 0.2 else 1.0
            copy = copy_of(
                ShadowPair(real.request_id, False, 1.0, agreement, valid), request_id=f"s{number}", unit_hash=unit,
                text_hash=str(number), format_valid=other,
            )  # fmt: skip
            seen = observation_of(copy, ROLLOUT, SINCE + number)
            assert seen is not None
            tally.add(seen)
            if number % 20 == 19:
                look = decide(
                    spec, Position(State.SHADOW, since=SINCE), tally.statistics(share=0.0, now=NOW), Health(), NOW
                )
                crossed = crossed or look.event is Event.ROLLBACK
        found += crossed
    return found


def test_no_harm_is_seldom_rolled_back_however_often_one_looks_and_harm_is() -> None:
    """At most `alpha` of the rollout is the shadow's and the steps' together: here half of 0.2, of 60 runs 6."""
    assert crossings(60, harm=0.0) <= 12
    assert crossings(20, harm=0.15) >= 18


def alike(units: int) -> list[Receipt]:
    receipts = []
    for number in range(units):
        real = replace(REAL, request_id=f"q{number}", unit_hash=f"{number:016x}")
        made = pair_of(real, "x", code="OK", text="x", format_valid=True)
        receipts.append(copy_of(made, request_id=f"s{number}", unit_hash=real.unit_hash))
    return receipts


def test_a_shadow_passes_with_time_and_units_and_waits_without() -> None:
    assert judged(alike(30)).event is Event.BEGIN_CANARY
    early = judged(alike(30), now=SINCE + 59)
    assert (early.event, early.reason) == (None, Reason.MINIMUM_TIME)
    few = judged(alike(29))
    assert (few.event, few.reason) == (None, Reason.MISSING_DATA)
    assert "the shadow has 29" in few.message


def test_without_data_a_shadow_halts() -> None:
    silent = judged(alike(40), now=SINCE + 241)
    assert (silent.event, silent.reason) == (Event.HALT, Reason.NO_DATA)
    assert "No copy of a request has been compared for more than 240 s." in silent.message
    assert judged([], now=SINCE + 241).reason is Reason.NO_DATA
    spec = replace(SHADOWING, maximum_seconds=61.0, minimum_seconds=0.0)
    late = judged(alike(29), now=SINCE + 62, spec=spec)
    assert (late.event, late.reason) == (Event.HALT, Reason.MAXIMUM_TIME)
    formless = [replace(receipt, format_valid=None) for receipt in alike(40)]
    mute = judged(formless)
    assert (mute.event, mute.reason) == (Event.HALT, Reason.MISSING_DATA)
    assert mute.message == "format: no copy of a request says anything of it."


def test_without_a_guardrail_of_pairs_units_are_needed_all_the_same() -> None:
    spec = replace(SHADOWING, guardrails=(Guardrail(GuardrailKind.ERROR, margin=0.01, required=True),))
    assert judged(alike(29), spec=spec).reason is Reason.MISSING_DATA
    assert judged(alike(30), spec=spec).event is Event.BEGIN_CANARY


def test_the_shadow_spends_its_part_of_alpha() -> None:
    assert SHADOWING.guardrail_alpha == pytest.approx(SHADOWING.alpha / (7 * 3))
    assert SPEC.guardrail_alpha == pytest.approx(SPEC.alpha / (6 * 2))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"shadow_running": 0}, "shadow_running: 0, expected"),
        ({"shadow_load": 0.0}, "shadow_load: 0.0, expected"),
        ({"shadow_load": 1.5}, "shadow_load: 1.5, expected"),
        ({"shadow_share": 0.0}, "expected both above 0, or none"),
        ({"maximum_seconds": 60.0, "minimum_seconds": 1.0}, "expected more than shadow_seconds"),
    ],
)
def test_what_cannot_be_asked_for(changes: dict[str, Any], told: str) -> None:
    assert not problems(SHADOWING)
    assert any(told in problem for problem in problems(replace(SHADOWING, **changes)))
