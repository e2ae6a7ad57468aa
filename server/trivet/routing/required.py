"""What a set of routes wants: the variants that have to be warm, and their adapters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from trivet.types.variant import Route, Variant, VersionRef


def required_variants(route: Route) -> Iterator[Variant]:
    """Those that have to be warm: all of them, or those that a rollout may send units to at once."""
    rollout = route.rollout
    names = route.variants if rollout is None else rollout.arms
    return (route.variants[name] for name in names)


def required_adapters(*tables: Mapping[str, Route]) -> dict[VersionRef, list[str]]:
    """The adapters that required variants of any of these tables name, and for each the variants as `route/variant`."""
    wanted: dict[VersionRef, list[str]] = {}
    for routes in tables:
        for route in routes.values():
            for variant in required_variants(route):
                if variant.adapter is not None:
                    users = wanted.setdefault(variant.adapter, [])
                    if (user := f"{route.name}/{variant.name}") not in users:
                        users.append(user)
    return wanted


def pinned_adapters(routes: Mapping[str, Route]) -> set[VersionRef]:
    """The adapters of both arms of rollouts that run: whichever has no units now may have all of them in a moment."""
    return {
        variant.adapter
        for route in routes.values()
        if route.rollout is not None and len(route.rollout.arms) > 1
        for variant in required_variants(route)
        if variant.adapter is not None
    }
