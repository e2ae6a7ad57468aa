"""Who is about. The clock is the test's."""

from __future__ import annotations

from trivet.fairness.active_tenants import ABOUT, ActiveTenants


def test_a_tenant_counts_while_it_is_inside_and_a_little_longer() -> None:
    now = 0.0
    active = ActiveTenants(lambda: now)
    active.enter("one")
    assert not active.besides("one")
    assert active.besides("two")
    active.enter("two")
    active.enter("two")
    now = 100.0
    active.leave("two")
    assert active.besides("one")  # it is inside once more
    now = 200.0
    active.leave("two")
    now += ABOUT
    assert active.besides("one")
    now += 0.1
    assert not active.besides("one")
    assert active.besides("two")


def test_those_who_left_long_ago_are_forgotten() -> None:
    now = 0.0
    active = ActiveTenants(lambda: now)
    for number in range(100):
        active.enter(str(number))
        active.leave(str(number))
        now += ABOUT / 2
    assert len(active._left) <= 4
    assert not active._inside
