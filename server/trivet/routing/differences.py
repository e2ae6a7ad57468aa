"""What differs between two sets of routes, in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields

from trivet.types.rollout import RouteRollout
from trivet.types.variant import Route, Variant


def differences(before: Mapping[str, Route], after: Mapping[str, Route]) -> tuple[str, ...]:
    """One line for each thing that is added, removed or changed, by name."""
    lines: list[str] = []
    for name in sorted({*before, *after}):
        if name not in after:
            lines.append(f"route {name}: removed")
        elif name not in before:
            lines.append(f"route {name}: added, with {', '.join(sorted(after[name].variants))}")
        else:
            lines += [f"route {name}: {line}" for line in _route(before[name], after[name])]
    return tuple(lines)


def _route(before: Route, after: Route) -> Iterator[str]:
    for name in sorted({*before.variants, *after.variants}):
        if name not in after.variants:
            yield f"variant {name} removed"
        elif name not in before.variants:
            yield f"variant {name} added, weight {after.weights[name]:g}"
        else:
            found = list(_variant(before.variants[name], after.variants[name]))
            if before.weights[name] != after.weights[name]:
                found.append(f"weight {before.weights[name]:g} -> {after.weights[name]:g}")
            if found:
                yield f"variant {name}: {', '.join(found)}"
    for field in fields(Route):
        if field.name in {"variants", "weights", "revision"}:
            continue
        old, new = getattr(before, field.name), getattr(after, field.name)
        if field.name == "rollout":
            yield from _rollout(before.rollout, after.rollout)
        elif old != new:
            yield f"{field.name} {_text(old)} -> {_text(new)}"


def _rollout(before: RouteRollout | None, after: RouteRollout | None) -> Iterator[str]:
    old, new = (None if one is None else f"{one.stable} to {one.candidate}" for one in (before, after))
    if old != new:
        yield f"rollout {_text(old)} -> {_text(new)}"
    elif before != after:
        yield "rollout changed"


def _variant(before: Variant, after: Variant) -> Iterator[str]:
    for field in fields(Variant):
        old, new = getattr(before, field.name), getattr(after, field.name)
        if old == new:
            continue
        if field.name in {"backend", "prompt", "adapter"}:
            yield f"{field.name} {_text(old)} -> {_text(new)}"
        else:
            yield f"{field.name} changed"


def _text(value: object) -> str:
    if isinstance(value, frozenset):
        return ", ".join(sorted(value)) or "nothing"
    return "none" if value is None else str(getattr(value, "value", value))
