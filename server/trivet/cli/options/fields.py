"""Options about documents' fields."""

from __future__ import annotations

import json
from typing import Any

import click

from trivet.types.metadata.where import parse_where


class JsonObject(click.ParamType[dict[str, Any]]):
    """A JSON object."""

    name = "json"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> dict[str, Any]:
        try:
            found = json.loads(value)
        except (ValueError, RecursionError) as error:
            self.fail(f"not JSON: {error}", param, ctx)
        if not isinstance(found, dict):
            self.fail(f"a JSON {type(found).__name__}, expected an object", param, ctx)
        return found


class _Where(JsonObject):
    """Conditions on fields; what is wrong with them is said before anything is sent."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> dict[str, Any]:
        found = super().convert(value, param, ctx)
        try:
            parse_where(found)
        except ValueError as error:
            self.fail(str(error), param, ctx)
        return found


where_option = click.option(
    "--where",
    type=_Where(),
    help='Search only documents whose fields meet this, such as {"field": "price", "lt": 10}.',
)
