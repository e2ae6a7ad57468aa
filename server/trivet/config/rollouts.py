"""What a route's rollout in the file asks for, as a specification, and what is wrong with it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace

from trivet.config.schema import ConfigFile, RolloutSection, RouteSection
from trivet.config.yaml_lines import YamlDocument
from trivet.rollouts.spec import DEFAULT_GUARDRAILS, Approval, Guardrail, GuardrailKind, RolloutSpec, problems
from trivet.types.rollout import NOT_STARTED, RouteRollout

# The specification's names where the file has others.
_FIELDS = {
    "minimum_seconds": "minimum_time",
    "maximum_seconds": "maximum_time",
    "silence_seconds": "silence",
    "warming_seconds": "warming_time",
    "soak_seconds": "soak",
    "shadow_seconds": "shadow.time",
    "shadow_share": "shadow.share",
    "shadow_running": "shadow.max_running",
    "shadow_load": "shadow.load",
}
_FIELD = re.compile("|".join(_FIELDS))
_DEFAULTS = {guardrail.kind: guardrail for guardrail in DEFAULT_GUARDRAILS}


def rollout_spec(file: ConfigFile, route: str, *, stable_digest: str, candidate_digest: str) -> RolloutSpec:
    """The specification of a route's rollout; the digests are of all that its variants consist of.

    Raises KeyError for a route without one.
    """
    section = file.routes[route].rollout
    if section is None:
        raise KeyError(route)
    spec = RolloutSpec(
        route=route,
        stable=section.stable,
        candidate=section.candidate,
        stable_digest=stable_digest,
        candidate_digest=candidate_digest,
        steps=tuple(section.steps),
        guardrails=_guardrails(file, file.routes[route], section),
        alpha=section.alpha,
        promotion_alpha=section.promotion_alpha,
        minimum_seconds=section.minimum_time,
        minimum_units=section.minimum_units,
        smoke_units=section.smoke_units,
        maximum_seconds=section.maximum_time,
        silence_seconds=section.silence,
        warming_seconds=section.warming_time,
        soak_seconds=section.soak,
        approval=Approval(section.approval),
        holdout=section.holdout,
        most_without_unit=section.most_without_unit,
        stable_slowdown=section.stable_slowdown,
    )
    shadow = section.shadow
    if shadow is None:
        return spec
    return replace(
        spec,
        shadow_seconds=shadow.time,
        shadow_share=shadow.share,
        shadow_running=shadow.max_running,
        shadow_load=shadow.load,
    )


def declared_rollout(section: RolloutSection) -> RouteRollout:
    """The rollout as the file alone has it: nothing has begun, all units have stable."""
    return RouteRollout(
        id="", state=NOT_STARTED, step=-1, stable=section.stable, candidate=section.candidate,
        share=0.0, holdout=section.holdout, salt="",
    )  # fmt: skip


def check_rollout(document: YamlDocument, file: ConfigFile, name: str) -> Iterator[str]:
    """One line per problem of the route's rollout, if it has one."""
    route = file.routes[name]
    section, at = route.rollout, ("routes", name, "rollout")
    if section is None:
        return
    for key, variant in route.variants.items():
        if variant.weight is not None:
            text = "has no effect beside the route's rollout, which gives the shares: leave it out"
            yield document.problem(("routes", name, "variants", key, "weight"), text)
    if "salt" in route.model_fields_set:
        yield document.problem(("routes", name, "salt"), "has no effect beside a rollout, which has a salt of its own")
    unknown = [field for field in ("stable", "candidate") if getattr(section, field) not in route.variants]
    for field in unknown:
        if ("routes", name, "variants", getattr(section, field)) not in document.lines:
            text = f"no variant {getattr(section, field)!r}; known: {', '.join(route.variants)}"
            yield document.problem((*at, field), text)
    if not unknown:
        yield from _check_arms(document, file, route, section, at)


def check_pinned(document: YamlDocument, file: ConfigFile) -> Iterator[str]:
    """Both arms of a rollout keep their adapters resident, all rollouts at once; one line where they are too many."""
    pinned: dict[str, set[str]] = {}
    for name, route in file.routes.items():
        arms = () if route.rollout is None else (route.rollout.stable, route.rollout.candidate)
        for variant in (route.variants[arm] for arm in arms if arm in route.variants):
            backend = file.backends.get(variant.backend)
            if backend is None or variant.one_adapter is None:
                continue
            kept = pinned.setdefault(variant.backend, set())
            places, fitted = backend.max_cpu_loras, len(kept) <= backend.max_cpu_loras
            kept.add(variant.one_adapter)
            if fitted and len(kept) > places:
                yield document.problem(
                    ("routes", name, "rollout"),
                    f"keeps adapter {variant.one_adapter} resident while it runs; then rollouts on backend "
                    f"{variant.backend} keep {len(kept)}, expected at most max_cpu_loras ({places})",
                )


def _check_arms(
    document: YamlDocument, file: ConfigFile, route: RouteSection, section: RolloutSection, at: tuple[str, ...]
) -> Iterator[str]:
    stable, candidate = route.variants[section.stable], route.variants[section.candidate]
    if section.stable != section.candidate and stable == candidate:
        yield document.problem((*at, "candidate"), "consists of the same as the stable variant, expected another one")
    silent = _silent(file, route, section)
    for name in section.guardrails or {}:
        if text := silent.get(GuardrailKind(name)):
            yield document.problem((*at, "guardrails", name), text)
    for problem in problems(rollout_spec(file, at[1], stable_digest="stable", candidate_digest="candidate")):
        place, _, text = problem.partition(": ")
        kind, colon, rest = text.partition(": ")
        where = [place]
        if place == "guardrails" and colon:
            where, text = [place, kind], rest
        elif place in _FIELDS:
            where = _FIELDS[place].split(".")
        yield document.problem((*at, *where), _FIELD.sub(lambda match: _FIELDS[match[0]], text))


def _silent(file: ConfigFile, route: RouteSection, section: RolloutSection) -> Mapping[GuardrailKind, str]:
    """The guardrails that no request of this route would ever say anything of, and why."""
    arms = [route.variants[name] for name in (section.stable, section.candidate)]
    found = {}
    if arms[0].json_schema is None:
        found[GuardrailKind.FORMAT] = "the stable variant has no json_schema to hold answers against: leave it out"
    if unpriced := sorted({arm.backend for arm in arms} - file.prices.keys()):
        found[GuardrailKind.COST] = f"no prices of backend {', '.join(unpriced)}: add them, or leave it out"
    return found


def _guardrails(file: ConfigFile, route: RouteSection, section: RolloutSection) -> tuple[Guardrail, ...]:
    """Those that are given; without any, the default ones that requests alone tell of."""
    if section.guardrails is None:
        silent = _silent(file, route, section)
        return tuple(one for one in DEFAULT_GUARDRAILS if one.kind not in (*silent, GuardrailKind.FEEDBACK))
    found = []
    for name, given in section.guardrails.items():
        kind = GuardrailKind(name)
        found.append(replace(_DEFAULTS.get(kind, Guardrail(kind)), **given.model_dump(exclude_none=True)))
    return tuple(found)
