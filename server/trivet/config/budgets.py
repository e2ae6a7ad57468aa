"""Limits of tenants and keys: what is wrong with them, and what they come to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal

from trivet.config.schema import ConfigFile
from trivet.config.schema.budgets import LimitSection
from trivet.config.yaml_lines import YamlDocument
from trivet.types.budget import Limit, LimitSet, Owner, Period, Unit
from trivet.types.request import PUBLIC_TENANT

NANO = 1_000_000_000
_At = tuple[str | int, ...]


def limit_set(file: ConfigFile) -> LimitSet:
    """Every limit of the configuration."""
    return LimitSet(
        by_tenant={
            tenant: _limits(Owner.TENANT, tenant, sections) for tenant, sections in file.budgets.tenants.items()
        },
        by_key={key.name: _limits(Owner.KEY, key.name, key.limits) for key in file.keys if key.limits},
        default=_limits(Owner.TENANT, "", file.budgets.default),
    )


def budget_problems(document: YamlDocument, file: ConfigFile) -> Iterator[str]:
    """Keys' routes and all limits: one line for each problem, with file, line and field."""
    for position, key in enumerate(file.keys):
        for place, route in enumerate(key.routes or ()):
            if ("routes", route) not in document.lines:
                known = ", ".join(file.routes) or "none"
                yield document.problem(("keys", position, "routes", place), f"no route {route!r}; known: {known}")
    tenants = {key.tenant for key in file.keys} or {PUBLIC_TENANT}
    for tenant in file.budgets.tenants:
        if tenant not in tenants and len(file.keys) == document.count(("keys",)):
            known = ", ".join(sorted(tenants))
            problem = f"no key is of tenant {tenant!r}: it would not apply; tenants: {known}"
            yield document.problem(("budgets", "tenants", tenant), problem)
    for at, sections in _all(file):
        yield from _limit_problems(document, file, at, sections)


def _all(file: ConfigFile) -> Iterator[tuple[_At, Sequence[LimitSection]]]:
    yield ("budgets", "default"), file.budgets.default
    for tenant, sections in file.budgets.tenants.items():
        yield ("budgets", "tenants", tenant), sections
    for position, key in enumerate(file.keys):
        yield ("keys", position, "limits"), key.limits


def _limit_problems(
    document: YamlDocument, file: ConfigFile, at: _At, sections: Sequence[LimitSection]
) -> Iterator[str]:
    seen: set[tuple[str, str]] = set()
    for place, section in enumerate(sections):
        units = [unit.value for unit in Unit if getattr(section, unit.value) is not None]
        if not any((*at, place, unit.value) in document.lines for unit in Unit):
            yield document.problem((*at, place), "expected requests, tokens or usd")
        for unit in units:
            if (section.per, unit) in seen:
                yield document.problem((*at, place, unit), f"{unit} per {section.per} is given twice")
            seen.add((section.per, unit))
        if section.usd is not None:
            unpriced = sorted({one.backend for route in file.routes.values() for one in route.variants.values()})
            for backend in unpriced:
                if backend not in file.prices and ("prices", backend) not in document.lines:
                    problem = f"backend {backend!r} has no prices, so what its answers cost is not known"
                    yield document.problem((*at, place, "usd"), problem)


def _limits(owner: Owner, name: str, sections: Sequence[LimitSection]) -> tuple[Limit, ...]:
    return tuple(
        Limit(owner, name, Period(section.per), unit, _whole(unit, amount), section.warn_at)
        for section in sections
        for unit in Unit
        if (amount := getattr(section, unit.value)) is not None
    )


def _whole(unit: Unit, amount: float) -> int:
    """USD in nano-USD, as it is written."""
    return int(Decimal(str(amount)) * NANO) if unit is Unit.USD else int(amount)
