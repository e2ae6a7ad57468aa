"""Template variables of a route: what any of its variants declares is accepted, whichever of them answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from trivet.prompts.template.source import Variable
from trivet.types.variant import Route, Variant

VariablesOf = Callable[[Variant], Mapping[str, Variable]]  # what a variant's prompt declares, by name


def route_variables(route: Route, variables_of: VariablesOf) -> frozenset[str]:
    """The names that the prompts of a route's variants declare."""
    return frozenset(name for variant in route.variants.values() for name in variables_of(variant))


def uneven_variables(routes: Mapping[str, Route], variables_of: VariablesOf) -> Iterator[str]:
    """A line for each variable that some variants of a route require and others do not: a client that was fine with the
    one fails on the units that the other gets."""
    for route in routes.values():
        for name in sorted(route_variables(route, variables_of)):
            declared = {variant.name: variables_of(variant).get(name) for variant in route.variants.values()}
            requiring = sorted(one for one, found in declared.items() if found is not None and found.default is None)
            others = sorted(declared.keys() - set(requiring))
            if requiring and others:
                yield (
                    f"route {route.name}: variable {name} is required by {', '.join(requiring)} and not by "
                    f"{', '.join(others)}: requests without it fail on some units; a default avoids that"
                )
