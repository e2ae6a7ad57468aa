"""Numbers of the command line, exactly as they are written."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import Any

import click

_MOST = 10**12
_LONGEST = 40  # characters


class Amount(click.ParamType[Fraction]):
    """A number, exactly: `0.1` is a tenth. At least `least`, or more than `above`; at most `most`."""

    name = "NUMBER"

    def __init__(self, *, least: int = 0, above: int | None = None, most: int = _MOST) -> None:
        self._least, self._above, self._most = least, above, most

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Fraction:
        """A usage error for what is no number, or out of bounds."""
        if isinstance(value, Fraction):
            return value
        try:
            number = Decimal(value) if len(value) <= _LONGEST else Decimal("NaN")
        except InvalidOperation:
            number = Decimal("NaN")
        low = f"more than {self._above}" if self._above is not None else f"at least {self._least}"
        fits = number.is_finite() and self._least <= number <= self._most and number.adjusted() >= -18
        if not fits or (self._above is not None and number <= self._above):
            self.fail(f"expected a number, {low} and at most {self._most:,}, got {value!r:.60}", param)
        return Fraction(number)


class Share(Amount):
    """A number from 0 to 1."""

    def __init__(self, *, above: int | None = None) -> None:
        super().__init__(above=above, most=1)


class Count(click.ParamType[int]):
    """A whole number from 0 on; thousands may have an underscore."""

    name = "NUMBER"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """A usage error for what is none, or too large."""
        text = str(value).replace("_", "")
        if not (text.isascii() and text.isdigit() and len(text) <= len(str(_MOST)) and int(text) <= _MOST):
            self.fail(f"expected a whole number from 0 to {_MOST:,}, got {value!r:.60}", param)
        return int(text)
