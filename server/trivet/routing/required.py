"""Which adapters a set of routes wants, and for whom."""

from __future__ import annotations

from collections.abc import Mapping

from trivet.types.variant import Route, VersionRef


def required_adapters(*tables: Mapping[str, Route]) -> dict[VersionRef, list[str]]:
    """The adapters that variants of any of these tables name, and for each the variants as `route/variant`."""
    wanted: dict[VersionRef, list[str]] = {}
    for routes in tables:
        for route in routes.values():
            for variant in route.variants.values():
                if variant.adapter is not None:
                    users = wanted.setdefault(variant.adapter, [])
                    if (user := f"{route.name}/{variant.name}") not in users:
                        users.append(user)
    return wanted
