"""A schema as the engine gets it."""

from __future__ import annotations

import json
from typing import Any

from trivet.schemas.forms import read_form
from trivet.schemas.limits import DEFAULT_LIMITS
from trivet.schemas.patterns.form import any_character, pattern_form
from trivet.schemas.places import Place
from trivet.schemas.size import schema_text


def engine_form(schema: Any) -> str:
    """The JSON text of a schema in which `schema_problems` finds nothing, as the grammar compiler is given it.

    The compiler lets control characters into strings that are bounded by `minLength` or `maxLength`, and more into
    some that are bounded by a pattern, which is no JSON any more. So lengths become patterns, and patterns leave out
    what JSON escapes.
    """
    copy = json.loads(schema_text(schema))
    stack: list[Any] = [copy]
    while stack:
        node = stack.pop()
        stack += [child for child, _, _ in read_form(node, Place(), None, DEFAULT_LIMITS).children]
        if isinstance(node, dict):
            _rewrite(node)
    return schema_text(copy)


def _rewrite(node: dict[str, Any]) -> None:
    if "pattern" in node:
        node["pattern"] = pattern_form(node["pattern"])
    if "minLength" in node or "maxLength" in node:
        least, most = node.pop("minLength", 0), node.pop("maxLength", "")
        node["pattern"] = f"^{any_character()}{{{least},{most}}}$"
    patterns = node.get("patternProperties")
    if patterns:
        node["patternProperties"] = {pattern_form(pattern): schema for pattern, schema in patterns.items()}
