"""The route table: resolution and replacement."""

from __future__ import annotations

import threading
from collections import Counter

import pytest

from trivet.errors import FailedPrecondition, UnknownRoute
from trivet.routing.table import RouteTable
from trivet.types.receipt import UnitSource
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
    routes.replace(a_route({"candidate": 1.0}, revision=1))
    assert routes.resolve("support", "u").variant.name == "candidate"
    assert (before.variant.name, before.route.revision) == ("stable", 0)
    assert handed_out["support"].revision == 0


@pytest.mark.parametrize("late", [1, 2])
def test_a_late_writer_is_refused(late: int) -> None:
    routes = table(a_route(revision=2))
    with pytest.raises(FailedPrecondition, match="above 2"):
        routes.replace(a_route(revision=late))
    assert routes.routes["support"].revision == 2


def test_replacing_an_unknown_route_is_refused() -> None:
    with pytest.raises(UnknownRoute):
        table(a_route()).replace(a_route(revision=1, name="sales"))


@pytest.mark.parametrize("weights", [{"stable": 0.0}, {"stable": -1.0}, {"other": 1.0}])
def test_routes_that_cannot_be_resolved_are_refused(weights: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="expected"):
        table(a_route(weights))
    with pytest.raises(ValueError, match="expected"):
        table(a_route()).replace(a_route(weights, revision=1))


def test_a_route_stands_under_its_own_name() -> None:
    with pytest.raises(ValueError, match="its own"):
        RouteTable({"sales": a_route()})


def test_concurrent_writers_end_at_the_highest_revision() -> None:
    routes = RouteTable({"support": a_route(), "sales": a_route(name="sales")})

    def write(name: str, first: int) -> None:
        for revision in range(first, 400, 4):
            try:
                routes.replace(a_route(revision=revision, name=name))
            except FailedPrecondition:
                continue

    threads = [threading.Thread(target=write, args=(n, first)) for n in ("support", "sales") for first in (1, 2, 3, 4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {name: route.revision for name, route in routes.routes.items()} == {"support": 399, "sales": 399}


def test_replacing_all_gives_what_changed_the_next_revision() -> None:
    routes = RouteTable({"support": a_route(), "sales": a_route(name="sales"), "gone": a_route(name="gone")})
    handed_out = routes.routes
    routes.replace(a_route({"stable": 3.0}, revision=5, name="sales"))
    changed, new = a_route({"candidate": 1.0}), a_route(name="new")
    routes.replace_all({"support": changed, "sales": a_route({"stable": 3.0}, name="sales"), "new": new})
    assert {name: route.revision for name, route in routes.routes.items()} == {"support": 6, "sales": 5, "new": 6}
    assert routes.resolve("support", "u").variant.name == "candidate"
    assert routes.revision == 6
    assert set(handed_out) == {"support", "sales", "gone"}
    with pytest.raises(UnknownRoute):
        routes.resolve("gone")


def test_a_route_that_comes_back_is_not_taken_for_the_one_that_was() -> None:
    routes = RouteTable({"support": a_route(), "sales": a_route(name="sales")})
    routes.replace_all({"support": a_route()})
    assert routes.revision == 0
    routes.replace_all({"support": a_route(), "sales": a_route({"stable": 1.0}, name="sales")})
    assert routes.routes["sales"].revision == 1
    routes.replace_all({"support": a_route()})
    routes.replace_all({"support": a_route(), "sales": a_route(name="sales")})
    assert routes.routes["sales"].revision == 2


def test_replacing_all_with_one_that_cannot_be_resolved_changes_nothing() -> None:
    routes = table(a_route())
    with pytest.raises(ValueError, match="no variant has a positive weight"):
        routes.replace_all({"new": a_route(name="new"), "support": a_route({"stable": 0.0})})
    assert set(routes.routes) == {"support"}
    assert routes.routes["support"].weights == {"stable": 1.0, "candidate": 1.0}
