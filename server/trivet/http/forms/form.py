"""Every part of a body."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Form(BaseModel):
    """Part of a body: nothing unknown, and each value of its own kind."""

    model_config = ConfigDict(extra="forbid", strict=True)
