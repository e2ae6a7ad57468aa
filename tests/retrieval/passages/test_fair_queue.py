"""Whose document is split next."""

from __future__ import annotations

from trivet.retrieval.passages.process.fair_queue import FairQueue


def served(queue: FairQueue[str], costs: dict[str, float]) -> list[str]:
    """Who is served, one after the other, until nobody waits."""
    order = []
    while (taken := queue.take()) is not None:
        tenant, _ = taken
        queue.charge(tenant, costs[tenant])
        order.append(tenant)
    return order


def test_equal_documents_take_turns_whoever_was_first() -> None:
    queue: FairQueue[str] = FairQueue()
    for n in range(3):
        queue.put("a", f"a{n}")
    queue.put("b", "b0")
    queue.put("b", "b1")
    assert served(queue, {"a": 1.0, "b": 1.0}) == ["a", "b", "a", "b", "a"]


def test_a_tenant_of_small_documents_does_not_wait_for_all_large_ones() -> None:
    queue: FairQueue[str] = FairQueue()
    for n in range(4):
        queue.put("large", f"{n}")
    for n in range(30):
        queue.put("small", f"{n}")
    order = served(queue, {"large": 10.0, "small": 0.5})
    assert order[0] == "large"
    assert order.index("large", 1) >= 20, "as much time for the one as for the other"


def test_who_was_away_has_no_credit() -> None:
    queue: FairQueue[str] = FairQueue()
    for n in range(8):
        queue.put("a", f"{n}")
    for _ in range(4):
        taken = queue.take()
        assert taken is not None
        queue.charge(taken[0], 5.0)
    for n in range(4):
        queue.put("late", f"{n}")
    assert served(queue, {"a": 5.0, "late": 5.0})[:4] in (["late", "a"] * 2, ["a", "late"] * 2)


def test_what_is_taken_out_is_not_served() -> None:
    queue: FairQueue[str] = FairQueue()
    for item in ("one", "two"):
        queue.put("a", item)
    assert queue.remove("a", "one")
    assert not queue.remove("a", "one")
    assert not queue.remove("b", "two")
    assert queue.newest_of_longest() == ("a", "two", 1)
    assert queue.take() == ("a", "two")
    assert len(queue) == 0


def test_who_has_its_share_waits_though_there_is_room() -> None:
    queue: FairQueue[str] = FairQueue()
    for item in ("one", "two"):
        queue.put("a", item)
    assert queue.take(1) == ("a", "one")
    assert queue.take(1) is None
    queue.put("b", "other")
    assert queue.take(1) == ("b", "other")
    assert (queue.serving("a"), queue.serving("b"), queue.serving("c")) == (1, 1, 0)
    queue.charge("a", 1.0)
    assert queue.take(1) == ("a", "two")
