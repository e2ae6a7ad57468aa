"""Whether the engine enforces all of a schema, and whether any value can fulfil it. Linear in the schema's size."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from trivet.schemas.forms import Found, read_form
from trivet.schemas.limits import SchemaLimits
from trivet.schemas.places import Place, SchemaProblem
from trivet.schemas.references import reference_problems
from trivet.schemas.satisfiable import unsatisfiable
from trivet.schemas.size import size_problem

MOST_TOLD = 5


def schema_problems(schema: Any, limits: SchemaLimits) -> list[SchemaProblem]:
    """The first few things that are wrong with a schema, each with its place; none if it can be compiled.

    Wrong is what exceeds a bound, what the engine would pass over without a word, and what no value can fulfil.
    """
    too_large = size_problem(schema, limits)
    if too_large is not None:
        return [too_large]
    return list(islice(_problems(schema, limits), MOST_TOLD))


def _problems(schema: Any, limits: SchemaLimits) -> Iterator[SchemaProblem]:
    read: dict[int, Found] = {}  # by identity: the parts of one schema, which lives while this runs
    values = properties = 0
    stack: list[tuple[Any, Place, str | None]] = [(schema, Place(), None)]
    while stack:
        node, place, implied = stack.pop()
        if id(node) in read:  # YAML's aliases: one schema in several places
            continue
        if len(read) >= limits.max_schemas:
            yield SchemaProblem(place, f"more than {limits.max_schemas} schemas in all (max_schemas)")
            return
        found = read[id(node)] = read_form(node, place, implied, limits)
        yield from found.problems
        values += found.values
        properties += found.properties
        if values > limits.max_values:
            yield SchemaProblem(place, f"more than {limits.max_values} values in all (max_values)")
            return
        if properties > limits.max_properties:
            yield SchemaProblem(place, f"more than {limits.max_properties} properties in all (max_properties)")
            return
        stack.extend(reversed(found.children))
    if any(found.problems for found in read.values()):
        return
    wrong = list(reference_problems(schema, read))
    yield from wrong or unsatisfiable(schema, read)
