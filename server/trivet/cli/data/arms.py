"""What a suite from the log compares: the route's own variants."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trivet.config import Config
from trivet.config.schema import VariantSection
from trivet.errors import ConfigError, FailedPrecondition


def arms_of(config: Config, route: str) -> dict[str, dict[str, Any]]:
    """The arms of `suite.yaml`, by name; variants whose requests choose their adapters are none.

    A route with one arm is compared with its parts: without the adapter, without the passages. Raises ConfigError if
    there is no such route, FailedPrecondition if there is nothing to compare.
    """
    if route not in config.file.routes:
        known = ", ".join(sorted(config.file.routes))
        raise ConfigError([f"{config.path}:1: routes: no route {route!r}; known: {known}"])
    variants = config.file.routes[route].variants
    chosen = {name: section for name, section in variants.items() if section.adapter_choice is None}
    usual = next((name for name, backend in config.file.backends.items() if backend.enable_lora), "")
    arms = {name: _arm(section, usual) for name, section in chosen.items()}
    if len(arms) == 1:
        [(name, arm)] = arms.items()
        arms |= {f"{name}-without-{part}": _without(arm, part) for part in ("adapter", "retrieval") if part in arm}
    if len(arms) < 2:
        raise FailedPrecondition(
            f"route {route} has no two arms to compare: give it another variant, with no weight if it shall not answer"
        )
    return arms


def schema_of(config: Config, route: str) -> dict[str, Any] | None:
    """The JSON schema of the route's variants; FailedPrecondition if they have several."""
    variants = config.file.routes[route].variants.values()
    schemas = [section.json_schema for section in variants if section.json_schema is not None]
    if any(schema != schemas[0] for schema in schemas):
        raise FailedPrecondition(f"route {route} has variants with different schemas, and a suite has one")
    return schemas[0] if schemas else None


def _arm(section: VariantSection, usual: str) -> dict[str, Any]:
    arm: dict[str, Any] = {"prompt": section.prompt}
    if section.backend != usual:
        arm["backend"] = section.backend
    if section.one_adapter is not None:
        arm["adapter"] = section.one_adapter
    if section.retrieval is not None:
        found = section.retrieval
        arm["retrieval"] = {"index": found.index, "top_k": found.top_k, "token_budget": found.token_budget}
    if section.json_schema is not None:
        arm["json_schema"] = "with"
    return arm


def _without(arm: Mapping[str, Any], part: str) -> dict[str, Any]:
    return {name: value for name, value in arm.items() if name != part}
