"""What somebody says of an answer, and such things as JSON lines."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

MAX_LINE = 1 << 20  # bytes; the contract allows 65,536 characters of corrected text


@dataclass(frozen=True, slots=True)
class Rating:
    """`score` from 0 (bad) to 1 (good), None without one."""

    request_id: str
    score: float | None = None
    label: str = ""
    corrected_text: str = ""
    comment: str = ""

    def said(self) -> dict[str, Any]:
        """All but what it is about."""
        words = {"label": self.label, "corrected_text": self.corrected_text, "comment": self.comment}
        return {"score": self.score, **words}


class _Line(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    request_id: str = Field(min_length=1, max_length=128)
    score: float | None = Field(None, ge=0, le=1, allow_inf_nan=False)
    label: str = ""
    corrected_text: str = ""
    comment: str = ""


def read_ratings(lines: IO[bytes]) -> Iterator[tuple[int, Rating | str]]:
    """Each line's number from 1, and the rating or what is wrong with it. Empty lines are passed over."""
    number = 0
    while line := lines.readline(MAX_LINE + 1):
        number += 1
        if len(line) > MAX_LINE:
            while line and not line.endswith(b"\n"):
                line = lines.readline(MAX_LINE)
            yield number, f"longer than {MAX_LINE:,} bytes"
        elif line.strip():
            yield number, _rating(line)


def _rating(line: bytes) -> Rating | str:
    try:
        found = _Line.model_validate(json.loads(line))
    except ValidationError as error:
        first = error.errors()[0]
        return f"{'.'.join(map(str, first['loc'])) or '(line)'}: {first['msg']}"
    except (ValueError, RecursionError) as error:
        return f"not valid JSON: {error}"
    rating = Rating(**found.model_dump())
    return rating if any(value not in (None, "") for value in rating.said().values()) else "it says nothing"
