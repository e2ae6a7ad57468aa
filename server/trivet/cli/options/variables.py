"""`--var NAME=VALUE`."""

from __future__ import annotations

from collections.abc import Sequence

import click


def pairs(variables: Sequence[str]) -> dict[str, str]:
    """The values by name; raises click.BadParameter for one without a name or an equals sign."""
    found = {}
    for item in variables:
        name, equals, value = item.partition("=")
        if not (name and equals):
            raise click.BadParameter(f"expected NAME=VALUE, got {item!r}", param_hint="--var")
        found[name] = value
    return found
