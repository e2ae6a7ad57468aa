"""Limits of what tenants and keys may use."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from trivet.config.fields.kinds import Name, Section


class LimitSection(Section):
    """At most so much in each minute, hour, day or month of UTC; of several units, each is a limit of its own."""

    per: Literal["minute", "hour", "day", "month"]
    requests: Annotated[int, Field(ge=1, le=1 << 50)] | None = None
    tokens: Annotated[int, Field(ge=1, le=1 << 50)] | None = None
    usd: Annotated[float, Field(gt=0, le=1e8)] | None = None
    warn_at: Annotated[float, Field(gt=0, le=1)] = 0.8


class BudgetsSection(Section):
    """Limits of tenants, and how gateways share them."""

    lease: Annotated[float, Field(ge=5, le=600)] = 15.0
    without_store: Literal["refuse", "allow"] = "refuse"
    default: Annotated[list[LimitSection], Field(max_length=16)] = []
    tenants: dict[Name, Annotated[list[LimitSection], Field(max_length=16)]] = {}
