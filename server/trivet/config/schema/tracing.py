"""Where spans go, and of which requests."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from trivet.config.fields import patterns
from trivet.config.fields.kinds import Section


class TracingSection(Section):
    """`endpoint`: of an OpenTelemetry collector (OTLP over HTTP); none traces nothing. `ca_file` for `https://`.

    `share`: of the requests that come without a trace of their own.
    """

    endpoint: Annotated[str, StringConstraints(pattern=patterns.URL)] | None = None
    share: Annotated[float, Field(ge=0, le=1)] = 0.1
    ca_file: str | None = None
