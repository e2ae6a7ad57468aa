"""The route table: resolution and replacement."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from trivet.errors import InvalidRequest, UnknownRoute
from trivet.routing.table import RouteTable
from trivet.types.receipt import UnitSource
from trivet.types.rollout import RouteRollout
from trivet.types.variant import Route, Variant, VersionRef


def a_route(weights: dict[str, float] | None = None, revision: int = 0, name: str = "support") -> Route:
    variants = {v: Variant(v, "main", VersionRef("support", "1")) for v in ("stable", "candidate")}
    return Route(name, variants, weights or {"stable": 1.0, "candidate": 1.0}, salt="salt", revision=revision)


def table(route: Route) -> RouteTable:
    return RouteTable({route.name: route})


def test_a_unit_keeps_its_variant() -> None:
    routes = table(a_route())
    first = [routes.resolve("support", f"u{i}").variant.name for i in range(50)]
    assert first == [routes.resolve("support", f"u{i}").variant.name for i in range(50)]
    assert set(first) == {"stable", "candidate"}


def test_the_resolution_says_what_it_is_of() -> None:
    found = table(a_route(revision=3)).resolve("support", "user-1")
    assert (found.route.name, found.route.revision, found.unit, found.unit_source) == (
        "support",
        3,
        "user-1",
        UnitSource.REQUEST,
    )


def test_without_a_unit_every_request_draws_anew() -> None:
    found = [table(a_route()).resolve("support") for _ in range(200)]
    assert {resolution.unit_source for resolution in found} == {UnitSource.RANDOM}
    assert len({resolution.unit for resolution in found}) == 200
    assert min(Counter(resolution.variant.name for resolution in found).values()) > 50


def test_an_unknown_route_does_not_tell_a_client_which_there_are() -> None:
    with pytest.raises(UnknownRoute, match=r"^no route 'sales'$"):
        table(a_route()).resolve("sales", "u")


def test_replacing_leaves_earlier_resolutions_alone() -> None:
    routes = table(a_route({"stable": 1.0}))
    before, handed_out = routes.resolve("support", "u"), routes.routes
    routes.replace({"support": a_route({"candidate": 1.0}, revision=1)})
    assert routes.resolve("support", "u").variant.name == "candidate"
    assert (before.variant.name, before.route.revision) == ("stable", 0)
    assert handed_out["support"].revision == 0


@pytest.mark.parametrize("weights", [{"stable": 0.0}, {"stable": -1.0}, {"other": 1.0}])
def test_routes_that_cannot_be_resolved_are_refused(weights: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="expected"):
        table(a_route(weights))
    with pytest.raises(ValueError, match="expected"):
        table(a_route()).replace({"support": a_route(weights, revision=1)})


def test_a_route_stands_under_its_own_name() -> None:
    with pytest.raises(ValueError, match="its own"):
        RouteTable({"sales": a_route()})


def test_others_are_served_from_the_next_request_on() -> None:
    routes = RouteTable({"support": a_route(), "sales": a_route(name="sales"), "gone": a_route(name="gone")})
    handed_out = routes.routes
    changed, new = a_route({"candidate": 1.0}, revision=6), a_route(name="new", revision=1)
    routes.replace({"support": changed, "sales": a_route({"stable": 3.0}, name="sales", revision=5), "new": new})
    assert {name: route.revision for name, route in routes.routes.items()} == {"support": 6, "sales": 5, "new": 1}
    assert routes.resolve("support", "u").variant.name == "candidate"
    assert routes.revision == 6
    assert set(handed_out) == {"support", "sales", "gone"}
    with pytest.raises(UnknownRoute):
        routes.resolve("gone")


def test_replacing_with_one_that_cannot_be_resolved_changes_nothing() -> None:
    routes = table(a_route())
    with pytest.raises(ValueError, match="no variant has a positive weight"):
        routes.replace({"new": a_route(name="new"), "support": a_route({"stable": 0.0})})
    assert set(routes.routes) == {"support"}
    assert routes.routes["support"].weights == {"stable": 1.0, "candidate": 1.0}


def rolled(share: float, state: str = "canary", holdout: float = 0.0, salt: str = "rollout-1") -> Route:
    rollout = RouteRollout("r1", state, 0, "stable", "candidate", share, holdout, salt)
    return replace(a_route({"stable": 1.0}, revision=4), rollout=rollout)


def test_each_of_100000_units_changes_sides_at_most_once_over_the_steps_and_two_tables_agree() -> None:
    steps = [table(rolled(share)) for share in (0.01, 0.05, 0.25, 0.5)] + [table(rolled(1.0, "soaking"))]
    other = table(rolled(0.25))
    moved = Counter[int]()
    for number in range(100_000):
        unit = f"user-{number}"
        seen = [step.resolve("support", unit).variant.name for step in steps]
        switch = seen.index("candidate")
        assert seen == ["stable"] * switch + ["candidate"] * (len(steps) - switch)
        assert other.resolve("support", unit, request_id="another").variant.name == seen[2]
        moved[switch] += 1
    assert [round(moved[switch] / 100_000, 2) for switch in range(5)] == [0.01, 0.04, 0.20, 0.25, 0.50]


def test_a_rollout_ignores_the_weights_and_the_routes_salt() -> None:
    chosen = [table(rolled(0.5)).resolve("support", f"u{i}").variant.name for i in range(300)]
    salted = [
        table(replace(rolled(0.5), salt="other", weights={"stable": 9.0})).resolve("support", f"u{i}").variant.name
        for i in range(300)
    ]
    assert chosen == salted
    another = [table(rolled(0.5, salt="rollout-2")).resolve("support", f"u{i}").variant.name for i in range(300)]
    assert chosen != another


def test_the_held_out_stay_on_stable_until_the_promotion() -> None:
    soaking, promoted = table(rolled(1.0, "soaking", 0.1)), table(rolled(1.0, "promoted", 0.1))
    found = [soaking.resolve("support", f"u{i}") for i in range(2000)]
    held = [one for one in found if one.unit_source is UnitSource.HOLDOUT]
    assert 150 < len(held) < 250
    assert {one.variant.name for one in held} == {"stable"}
    assert {one.variant.name for one in found if one.unit_source is UnitSource.REQUEST} == {"candidate"}
    assert {promoted.resolve("support", one.unit).unit_source for one in held} == {UnitSource.REQUEST}


def test_a_request_without_a_unit_is_drawn_by_its_id() -> None:
    routes = table(rolled(0.5))
    found = [routes.resolve("support", request_id=f"r{i}") for i in range(400)]
    assert {one.unit_source for one in found} == {UnitSource.RANDOM}
    assert 140 < sum(one.variant.name == "candidate" for one in found) < 260
    again = [routes.resolve("support", request_id=f"r{i}") for i in range(400)]
    assert [one.variant.name for one in found] == [one.variant.name for one in again]


@pytest.mark.parametrize("route", [a_route({"stable": 1.0}), rolled(0.0)])
def test_a_tester_gets_the_variant_that_is_asked_for(route: Route) -> None:
    found = table(route).resolve("support", "u", forced="candidate")
    assert (found.variant.name, found.unit, found.unit_source) == ("candidate", "u", UnitSource.FORCED)
    with pytest.raises(InvalidRequest) as refused:
        table(route).resolve("support", "u", forced="nobody")
    assert "known: stable, candidate" in str(refused.value.fields)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"candidate": "other"}, "names unknown variants other"),
        ({"share": 1.5}, "share 1.5"),
        ({"holdout": 1.0}, "hold"),
    ],
)
def test_a_rollout_that_cannot_be_resolved_is_refused(changes: dict[str, Any], message: str) -> None:
    route = rolled(0.5)
    assert route.rollout is not None
    with pytest.raises(ValueError, match=message):
        table(replace(route, rollout=replace(route.rollout, **changes)))
