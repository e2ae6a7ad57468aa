"""Template variables of a route: what any of its variants declares is accepted, whichever of them answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from trivet.prompts.assembly.assembler import PromptAssembler
from trivet.types.variant import Route, VersionRef


def route_variables(route: Route, prompts: Mapping[tuple[str, VersionRef], PromptAssembler]) -> frozenset[str]:
    """The names that the prompts of a route's variants declare. `prompts`: by backend and prompt."""
    return frozenset(
        name for variant in route.variants.values() for name in prompts[variant.backend, variant.prompt].variables
    )


def uneven_variables(
    routes: Mapping[str, Route], prompts: Mapping[tuple[str, VersionRef], PromptAssembler]
) -> Iterator[str]:
    """A line for each variable that some variants of a route require and others do not: a client that was fine with the
    one fails on the units that the other gets."""
    for route in routes.values():
        for name in sorted(route_variables(route, prompts)):
            declared = {
                variant.name: prompts[variant.backend, variant.prompt].variables.get(name)
                for variant in route.variants.values()
            }
            requiring = sorted(one for one, found in declared.items() if found is not None and found.default is None)
            others = sorted(declared.keys() - set(requiring))
            if requiring and others:
                yield (
                    f"route {route.name}: variable {name} is required by {', '.join(requiring)} and not by "
                    f"{', '.join(others)}: requests without it fail on some units; a default avoids that"
                )
