"""Break-even by both price models: a worked example, and what holds for any."""

from __future__ import annotations

from fractions import Fraction as F

from hypothesis import given
from hypothesis import strategies as st

from trivet.costs.breakeven import (
    Adapter,
    Machine,
    Sheet,
    Workload,
    against_api,
    by_machine,
    by_sheet,
    of_month,
)

# One GPU at 2.50 USD an hour that was busy for 1,980 s of one: 780 s of prefill for 39 million uncached tokens, 1,200 s
# of decode for 6 million.
MACHINE = Machine(F("2.5"), F(39_000_000, 780), F(6_000_000, 1200), F(1980, 3600))
SHEET = Sheet(F("0.20"), F("0.02"), F("0.60"))
WORK = Workload(prefix_tokens=900, input_tokens=60, output_tokens=120)
ADAPTER = Adapter(training_usd=F(5), decode_factor=F("1.15"))


def test_by_the_sheet_the_adapter_pays() -> None:
    found = by_sheet(WORK, ADAPTER, SHEET)
    assert (found.prompt_usd, found.adapter_usd) == (F("0.000102"), F("0.000084"))
    assert found.requests == 277_778
    assert found.requests * (900 + 60 + 120) == 300_000_240  # tokens


def test_by_the_machine_it_never_does_while_the_prefix_is_warm() -> None:
    found = by_machine(WORK, ADAPTER, MACHINE)
    assert (found.prompt_seconds, found.adapter_seconds) == (F("0.0252"), F("0.0288"))
    assert (found.payback.prompt_usd, found.payback.adapter_usd) == (F("0.0000175"), F("0.00002"))
    assert found.payback.requests is None
    assert found.pays_if_missed == F("0.2")


def test_it_pays_where_the_prefix_misses_more_often_than_that() -> None:
    missed = [Workload(900, 60, 120, share) for share in (F("0.2"), F("0.21"))]
    assert [by_machine(work, ADAPTER, MACHINE).payback.requests for work in missed] == [None, 40_000_000]


def test_the_machine_is_cheaper_than_the_api_from_a_sixth_of_its_load_on() -> None:
    found = against_api(WORK, SHEET, MACHINE)
    assert MACHINE.usd_per_month == 1825
    assert found.requests == 17_892_157
    assert found.per_second is not None
    assert found.share is not None
    assert (round(float(found.per_second), 1), round(float(found.capacity_per_second), 1)) == (6.8, 39.7)
    assert round(float(found.share), 2) == 0.17


def test_a_full_machine_that_costs_more_than_the_api_never_pays() -> None:
    dear = Machine(F(40), MACHINE.prefill_rate, MACHINE.decode_rate)
    assert dear.usd(dear.seconds(WORK, 900)) > SHEET.usd(WORK, 900)
    assert against_api(WORK, SHEET, dear).requests is None
    assert against_api(WORK, Sheet(F(0), F(0), F(0)), MACHINE).requests is None


def test_beyond_one_machine_another_is_paid_for() -> None:
    full = F(730 * 3600) / F("0.0252")  # requests a month
    months = [of_month(int(full) + more, WORK, SHEET, MACHINE) for more in (0, 1)]
    assert [month.machines for month in months] == [1, 2]
    assert [month.machine for month in months] == [1825, 3650]
    assert of_month(0, WORK, None, MACHINE).machines == 1
    assert of_month(10, WORK, SHEET, None).api == F("0.00102")


TOKENS = st.integers(0, 100_000)
PRICES = st.fractions(0, 100, max_denominator=10_000)
RATES = st.fractions(1, 100_000, max_denominator=100)


@given(
    TOKENS,
    TOKENS,
    TOKENS,
    st.fractions(0, 1, max_denominator=100),
    TOKENS,
    st.fractions(1, 3),
    PRICES,
    PRICES,
    RATES,
    RATES,
)
def test_a_number_of_requests_is_the_first_that_pays(
    prefix: int, given_: int, out: int, missed: F, kept: int, factor: F, training: F, hour: F, prefill: F, decode: F
) -> None:
    work, adapter = Workload(prefix, given_, out, missed), Adapter(training, kept, factor)
    found = by_machine(work, adapter, Machine(hour, prefill, decode))
    saved = found.payback.prompt_usd - found.payback.adapter_usd
    if found.payback.requests is None:
        assert saved <= 0
    else:
        assert saved * found.payback.requests >= training
        assert found.payback.requests == 0 or saved * (found.payback.requests - 1) < training
    # The share of misses tells on which side the machine's time lies.
    faster = found.adapter_seconds < found.prompt_seconds
    if prefix > kept:
        assert faster == (found.pays_if_missed is not None and missed > found.pays_if_missed)
