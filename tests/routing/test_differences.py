"""What differs between routes, in words."""

from __future__ import annotations

from dataclasses import replace

from trivet.routing.differences import differences
from trivet.types.variant import CacheScope, Route, Sampling, Variant, VersionRef


def route(name: str = "support", revision: int = 0, **weights: float) -> Route:
    variants = {key: Variant(key, "main", VersionRef("support", "1")) for key in weights}
    return Route(name, variants, weights, salt=name, revision=revision)


def with_variant(of: Route, name: str, **changes: object) -> Route:
    return replace(of, variants={**of.variants, name: replace(of.variants[name], **changes)})  # type: ignore[arg-type]


def test_what_is_alike_differs_in_nothing_whatever_its_revision() -> None:
    assert differences({"support": route(a=1)}, {"support": route(a=1, revision=7)}) == ()


def test_each_thing_has_a_line() -> None:
    before = {"support": route(a=1, b=0, c=2), "old": route("old", a=1)}
    after = route(a=3, b=0, d=1)
    after = with_variant(after, "a", adapter=VersionRef("tone", "2"), prompt=VersionRef("support", "2"))
    after = replace(with_variant(after, "b", sampling=Sampling(max_tokens=5)), cache=CacheScope.TENANT)
    after = replace(after, allow=frozenset({"tools", "system"}))
    assert differences(before, {"support": after, "new": route("new", y=1, x=1)}) == (
        "route new: added, with x, y",
        "route old: removed",
        "route support: variant a: prompt support@1 -> support@2, adapter none -> tone@2, weight 1 -> 3",
        "route support: variant b: sampling changed",
        "route support: variant c removed",
        "route support: variant d added, weight 1",
        "route support: cache shared -> tenant",
        "route support: allow nothing -> system, tools",
    )
