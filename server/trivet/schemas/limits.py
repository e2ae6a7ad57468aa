"""How large a JSON schema may be, before anything compiles it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SchemaLimits:
    """Bounds on one schema.

    `max_bytes` of its JSON text; `max_depth` of objects and lists inside one another; `max_schemas` subschemas;
    `max_values` in all `enum`s and `const`s together; `max_properties` in all objects together; `max_pattern_length`
    characters of one regular expression.
    """

    max_bytes: int = 65_536
    max_depth: int = 32
    max_schemas: int = 1_000
    max_values: int = 1_000
    max_properties: int = 500
    max_pattern_length: int = 256


DEFAULT_LIMITS = SchemaLimits()
