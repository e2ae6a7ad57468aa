"""What is kept of answered requests."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from trivet.config.fields import patterns
from trivet.config.fields.kinds import Section


class InteractionsSection(Section):
    """How interactions are kept, of the routes that keep some.

    `redact`: what is taken out of texts before they are stored; then `redaction_hook`, a function `package.module:name`
    from text to text. `key_file`: base64 of 32 bytes a line, the newest first; without it nothing is encrypted.
    """

    retention_days: Annotated[float, Field(gt=0, le=3650)] = 30.0
    redact: Annotated[list[Literal["email", "card", "phone"]], Field(max_length=3)] = ["email", "card", "phone"]
    redaction_hook: Annotated[str, StringConstraints(pattern=patterns.HOOK, max_length=256)] | None = None
    key_file: str | None = None


class RouteInteractions(Section):
    """What share of a route's answers is kept, drawn by chance."""

    share: Annotated[float, Field(gt=0, le=1)] = 1.0
