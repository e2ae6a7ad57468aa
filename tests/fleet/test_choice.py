"""The choice of a node, by itself."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivet.fleet import choice
from trivet.fleet.choice import Candidate, Ranks, choose, key_of, rendezvous


def node(
    name: str, load: float = 0, *, weight: float = 16, resident: bool = True, computed: bool = True, rank: int = 0
) -> Candidate[str]:
    return Candidate(name, load, weight, resident, computed, rank)


def test_who_has_it_is_asked_first() -> None:
    lacking = node("lacking", resident=False, computed=False, rank=0)
    cold = node("cold", computed=False, rank=1)
    warm = node("warm", rank=2)
    assert choose([lacking, cold, warm]) == "warm"
    assert choose([lacking, cold]) == "cold"
    assert choose([]) is None


def test_the_bound_lets_others_in() -> None:
    """Of 40 requests and 2 nodes, 1.25 times the share is 26: above that the other node is asked."""
    other = node("other", load=15, resident=False, rank=1)
    assert choose([node("home", load=25), replace(other, load=15)]) == "home"
    assert choose([node("home", load=26), replace(other, load=14)]) == "other"


def test_a_new_node_gets_less() -> None:
    old = [node(f"old{number}", load=8, rank=number + 1) for number in range(3)]
    assert choose([node("new", load=0, weight=1.6), *old]) == "new"
    assert choose([node("new", load=2, weight=1.6), *old]) != "new"


@given(
    loads=st.lists(st.integers(0, 50), min_size=1, max_size=20),
    has=st.lists(st.tuples(st.booleans(), st.booleans()), min_size=20, max_size=20),
)
def test_nobody_is_loaded_beyond_the_bound_while_another_has_room(
    loads: list[int], has: list[tuple[bool, bool]]
) -> None:
    candidates = [
        node(str(number), load, resident=has[number][0], computed=has[number][1], rank=number)
        for number, load in enumerate(loads)
    ]
    chosen = choose(candidates)
    assert chosen is not None
    load = loads[int(chosen)]
    mean = (sum(loads) + 1) / len(loads)
    assert load + 1 <= -(-1.25 * mean // 1) or load == min(loads)


def test_a_node_that_leaves_moves_its_own_keys_alone() -> None:
    nodes = [f"10.0.0.{number}:7610" for number in range(8)]
    keys = [key_of(f"adapter@{number}", None, (number,)) for number in range(400)]
    before = {key: rendezvous(key, nodes) for key in keys}
    gone = nodes[3]
    for key in keys:
        assert rendezvous(key, [one for one in nodes if one != gone]) == [one for one in before[key] if one != gone]
    shares = [sum(order[0] == one for order in before.values()) for one in nodes]
    assert min(shares) > 20
    assert max(shares) < 90


def test_all_gateways_decide_alike_for_ever() -> None:
    """Pinned: gateways of different versions share nodes."""
    assert key_of("a@1#0123456789ab", "tenant", (1, 2, 70000)).hex() == "0a94ac8657682507ada71e5793763459"
    key = key_of(None, None, (5, 6, 7))
    assert rendezvous(key, ["a:1", "b:1", "c:1", "d:1"]) == ["d:1", "b:1", "c:1", "a:1"]


def test_ranks_follow_the_nodes() -> None:
    ranks = Ranks()
    assert sorted(ranks.of(b"key", ["a", "b"]).values()) == [0, 1]
    assert ranks.of(b"key", ["a"]) == {"a": 0}


def test_what_is_remembered_of_many_nodes_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "_REMEMBERED", 100)
    ranks, nodes = Ranks(), [str(number) for number in range(10)]
    for number in range(50):
        assert sorted(ranks.of(str(number).encode(), nodes).values()) == list(range(10))
    assert len(ranks._known) == 10
    assert ranks.of(b"49", nodes) is ranks.of(b"49", nodes)
