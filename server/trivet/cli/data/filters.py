"""The options by which commands choose interactions."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import wraps
from typing import Any

import click

from trivet.api.v1 import interaction_pb2
from trivet.cli.options.times import Time


def filter_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --route, --variant, --since and --until; the command gets a `wanted` filter."""

    @click.option("--route", "routes", multiple=True, help="Only of this route; repeatable.")
    @click.option("--variant", "variants", multiple=True, help="Only what this variant answered; repeatable.")
    @click.option("--since", type=Time(), help="Kept from then on: 2026-11-30, 2026-11-30T18:00, 7d.")
    @click.option("--until", type=Time(), help="Kept before then.")
    @wraps(command)
    def with_filter(
        *args: Any,
        routes: tuple[str, ...],
        variants: tuple[str, ...],
        since: datetime | None,
        until: datetime | None,
        **options: Any,
    ) -> Any:
        wanted = interaction_pb2.InteractionFilter(routes=routes, variants=variants, after=since, before=until)
        return command(*args, wanted=wanted, **options)

    return with_filter
