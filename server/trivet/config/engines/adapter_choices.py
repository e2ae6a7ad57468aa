"""Variants whose requests have adapters of their own: what of them could not hold, or would let tenants share."""

from __future__ import annotations

from collections.abc import Iterator

from trivet.config.schema import ConfigFile, VariantSection
from trivet.config.schema.backends import RemoteBackend
from trivet.config.yaml_lines import YamlDocument
from trivet.types.request import PUBLIC_TENANT
from trivet.types.text.adapter_pattern import AdapterPattern, shared_between

_At = tuple[str | int, ...]
TENANT, LABEL, ANY = AdapterPattern.TENANT, AdapterPattern.LABEL, AdapterPattern.ANY


def choice_problems(document: YamlDocument, file: ConfigFile) -> Iterator[str]:
    """One line per problem."""
    tenants = {key.tenant for key in file.keys} or {PUBLIC_TENANT}
    chosen = False
    for route_name, route in file.routes.items():
        by_request = [
            one.adapter_choice is not None and one.adapter_choice.by == "request" for one in _all(file, route_name)
        ]
        for name, variant in route.variants.items():
            at: _At = ("routes", route_name, "variants", name, "adapter")
            if variant.adapter_choice is None:
                continue
            chosen = True
            yield from _choice(document, at, variant, tenants)
            if variant.adapter_choice.by == "request" and not all(by_request):
                text = (
                    "by: request in one variant of a route and not in the others: which requests are refused would be "
                )
                yield document.problem(at, text + "drawn; expected it in all of them")
            yield from _shadowed(document, file, route_name, variant, at)
    yield from _places(document, file)
    if not chosen:
        for field in sorted(file.adapters_on_demand.model_fields_set):
            text = "has no effect: no variant chooses its adapter by request, tenant or label"
            yield document.problem(("adapters_on_demand", field), text)
    elif file.adapters_on_demand.disk_bytes < file.adapter_source.max_bytes:
        expected = f"expected at least adapter_source.max_bytes ({file.adapter_source.max_bytes}), the size of one"
        yield document.problem(("adapters_on_demand", "disk_bytes"), expected)


def _all(file: ConfigFile, route: str) -> Iterator[VariantSection]:
    yield from file.routes[route].variants.values()


def _choice(document: YamlDocument, at: _At, variant: VariantSection, tenants: set[str]) -> Iterator[str]:
    choice = variant.adapter_choice
    assert choice is not None
    patterns = [AdapterPattern.parse(text) for text in choice.source]
    unfit = {"request": (LABEL,), "tenant": (LABEL, ANY), "label": (ANY,)}[choice.by]
    for position, pattern in enumerate(patterns):
        for piece in unfit:
            if pattern.has(piece):
                yield document.problem(
                    (*at, "from", position), f"has {piece}, which means nothing with by: {choice.by}"
                )
    needed = {"request": "", "tenant": TENANT, "label": LABEL}[choice.by]
    if needed and not any(pattern.has(needed) for pattern in patterns):
        yield document.problem((*at, "from"), f"expected {needed} in at least one pattern with by: {choice.by}")
    if (choice.label is None) == (choice.by == "label"):
        expected = "expected the name of the label" if choice.by == "label" else "has no effect without by: label"
        yield document.problem((*at, "label"), expected)
    if (found := shared_between(patterns, tenants)) is not None:
        first, its, second, others = found
        who = "every tenant" if first == ANY else f"tenant {first}"
        other = "every tenant" if second == ANY else f"tenant {second}"
        yield document.problem(
            (*at, "from"),
            f"lets {who} (by {its!r}) and {other} (by {others!r}) use the same adapters: put {TENANT} and what "
            f"follows it on different sides of '@', as in {TENANT}@*",
        )


def _shadowed(
    document: YamlDocument, file: ConfigFile, route_name: str, variant: VariantSection, at: _At
) -> Iterator[str]:
    rollout, choice = file.routes[route_name].rollout, variant.adapter_choice
    if rollout is not None and rollout.shadow is not None and choice is not None and choice.by == "label":
        text = "by: label does not go with the rollout's shadow, whose copies have no labels: leave one of them out"
        yield document.problem(at, text)


def _places(document: YamlDocument, file: ConfigFile) -> Iterator[str]:
    """Adapters of fixed variants never give way to those that requests choose, which need a place beside them."""
    fixed: dict[str, set[str]] = {}
    choosing: dict[str, _At] = {}
    for route_name, route in file.routes.items():
        for name, variant in route.variants.items():
            if variant.one_adapter is not None:
                fixed.setdefault(variant.backend, set()).add(variant.one_adapter)
            elif variant.adapter_choice is not None:
                choosing.setdefault(variant.backend, ("routes", route_name, "variants", name, "adapter"))
    for backend, at in choosing.items():
        if isinstance(file.backends.get(backend), RemoteBackend):
            text = f"backend {backend} is a fleet, whose nodes hold fixed adapters alone: expected an embedded backend"
            yield document.problem(at, text)
        section, others = file.backends.get(backend), len(fixed.get(backend, ()))
        if section is not None and others >= section.max_cpu_loras:
            yield document.problem(
                at,
                f"{others} adapters of other variants leave no place for it on backend {backend}: expected "
                f"max_cpu_loras above that, not {section.max_cpu_loras}",
            )
