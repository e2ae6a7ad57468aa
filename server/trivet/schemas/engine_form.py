"""A schema as the engine gets it."""

from __future__ import annotations

import json
from typing import Any

from trivet.schemas.forms import read_form
from trivet.schemas.limits import SchemaLimits
from trivet.schemas.places import Place
from trivet.schemas.size import schema_text


def engine_form(schema: Any) -> str:
    """The JSON text of a schema in which `schema_problems` finds nothing, as the grammar compiler is given it.

    The compiler lets control characters into strings that are bounded by `minLength` or `maxLength`, which is no JSON
    any more; into those bounded by a pattern it does not. So lengths become patterns.
    """
    copy = json.loads(schema_text(schema))
    stack: list[Any] = [copy]
    while stack:
        node = stack.pop()
        stack += [child for child, _, _ in read_form(node, Place(), None, SchemaLimits()).children]
        if isinstance(node, dict) and ("minLength" in node or "maxLength" in node):
            least, most = node.pop("minLength", 0), node.pop("maxLength", "")
            node["pattern"] = f"^.{{{least},{most}}}$"
    return schema_text(copy)
