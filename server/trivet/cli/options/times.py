"""Times on the command line: a date, a time, or so long ago. All are UTC."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import click

_AGO = re.compile(r"(\d{1,6})(m|h|d|w)")
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


class Time(click.ParamType[datetime]):
    """Gives a datetime with a time zone."""

    name = "TIME"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """A usage error for what is no time."""
        if isinstance(value, datetime):
            return value
        ago = _AGO.fullmatch(value)
        try:
            if ago is not None:
                return datetime.now(UTC) - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
            at = datetime.fromisoformat(value)
        except (ValueError, OverflowError):
            self.fail(f"{value!r} is no time, expected 2026-11-30, 2026-11-30T18:00 (UTC), or 24h, 7d, 4w ago", param)
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
