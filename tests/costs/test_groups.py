"""Groups add up to the log, whatever they are by and however many there are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.request_logs import line, read_entry, receipt
from trivet.costs.entry import Entry
from trivet.costs.groups import DIMENSIONS, OTHERS, Groups, Sums
from trivet.costs.money import usd, usd_each
from trivet.errors import InvalidRequest
from trivet.types.receipt import Cost, Receipt

PARTS = st.none() | st.integers(0, 1 << 62)
NAMES = st.sampled_from(["a", "b", "c", ""])
RECEIPTS = st.builds(
    receipt,
    st.integers(0, 2000),
    route=st.sampled_from(["a", "b"]),
    variant=NAMES,
    adapter=NAMES,
    code=st.sampled_from(["OK", "CANCELLED", "NOT_FOUND"]),
    labels=st.dictionaries(NAMES, st.text(max_size=3), max_size=2),
    cost=st.builds(Cost, PARTS, PARTS, PARTS, PARTS),
)


def entry(given: Receipt) -> Entry:
    return read_entry(line(given))


@given(
    st.lists(RECEIPTS, max_size=30),
    st.lists(st.sampled_from([*DIMENSIONS, "label:a"]), min_size=1, max_size=3, unique=True),
    st.integers(1, 5),
    st.none() | st.integers(1, 3),
)
def test_groups_add_up_to_the_log_exactly(receipts: list[Receipt], by: list[str], most: int, top: int | None) -> None:
    groups = Groups(by, most)
    for one in receipts:
        groups.add(entry(one))
    together = Sums()
    for _, sums in groups.ordered(top):
        together.merge(sums)
    assert together == groups.total
    assert together.total == sum(one.cost.total or 0 for one in receipts) == sum(together.cost.values())
    assert together.unpriced == sum(one.cost.total is None for one in receipts)
    assert len(groups.sums) <= most + 1
    assert [group for group, _ in groups.ordered(top)].count((OTHERS,) * len(by)) <= 1


def test_what_is_not_known_is_no_zero() -> None:
    groups = Groups(["route"])
    groups.add(entry(receipt(cost=Cost(), input_tokens=None, cached_tokens=None, output_tokens=None, code="CANCELLED")))
    assert (groups.total.unpriced, dict(groups.total.cost)) == (1, {})


def test_a_copy_is_not_on_its_tenants_account() -> None:
    groups = Groups(["tenant", "account"])
    for one in (receipt(), receipt(shadow=True, account="shadow")):
        groups.add(entry(one))
    assert set(groups.sums) == {("acme", "-"), ("(shadow)", "shadow")}


def test_only_the_servers_failures_are_failures() -> None:
    groups = Groups(["route"])
    for code in ("OK", "CANCELLED", "INVALID_ARGUMENT", "UNAVAILABLE"):
        groups.add(entry(receipt(code=code)))
    assert (groups.total.requests, groups.total.failed) == (4, 1)


def test_the_dearest_come_first_and_days_in_their_order() -> None:
    dear, cheap = receipt(30, variant="dear", cost=Cost(input=9)), receipt(0, variant="cheap", cost=Cost(input=1))
    for by, first in ((["variant"], "dear"), (["day", "variant"], "2026-11-30")):
        groups = Groups(by)
        for one in (cheap, dear):
            groups.add(entry(one))
        assert groups.ordered()[0][0][0] == first


def test_copies_are_on_an_account_of_their_own() -> None:
    copy = receipt(0, tenant="acme", shadow=True, account="shadow", cost=Cost(input=5))
    groups, accounts = Groups(["tenant"]), Groups(["account"])
    for one in (receipt(1, tenant="acme", cost=Cost(input=3)), copy):
        groups.add(entry(one))
        accounts.add(entry(one))
    assert {group: sums.total for group, sums in groups.sums.items()} == {("acme",): 3, ("(shadow)",): 5}
    assert {group: sums.total for group, sums in accounts.sums.items()} == {("-",): 3, ("shadow",): 5}


def test_a_dimension_that_is_none_is_refused() -> None:
    for name in ("colour", "label:", ""):
        with pytest.raises(InvalidRequest, match="expected one of route"):
            Groups([name])


@pytest.mark.parametrize(
    ("nano", "told"),
    [
        (0, "0.00"),
        (1, "0.000000001"),
        (1_500_000, "0.0015"),
        (25 * 10**17, "2500000000.00"),
        (-1_000_000_001, "-1.000000001"),
    ],
)
def test_amounts_are_exact(nano: int, told: str) -> None:
    assert usd(nano) == told


def test_a_mean_is_rounded_half_up() -> None:
    assert [usd_each(3, 2), usd_each(1, 3), usd_each(5, 0)] == ["0.000000002", "0.00", "-"]
