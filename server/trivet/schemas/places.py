"""Places in a schema (JSON pointers, RFC 6901) and what is wrong there."""

from __future__ import annotations

from dataclasses import dataclass

LONGEST_PLACE = 200  # characters of a place in a message; a property's name may be a megabyte


@dataclass(frozen=True, slots=True)
class Place:
    """A place below `parent`; the root has none. Made into text only when it is told to somebody."""

    parent: Place | None = None
    key: str | int = ""

    def at(self, *keys: str | int) -> Place:
        """A place further down."""
        place = self
        for key in keys:
            place = Place(place, key)
        return place

    def __str__(self) -> str:
        parts: list[str] = []
        place = self
        while place.parent is not None:
            parts.append(str(place.key).replace("~", "~0").replace("/", "~1"))
            place = place.parent
        return shown("".join(f"/{part}" for part in reversed(parts)) or "/")


@dataclass(frozen=True, slots=True)
class SchemaProblem:
    """One thing that is wrong."""

    place: Place
    text: str

    def __str__(self) -> str:
        return f"{self.place}: {self.text}"


def shown(text: object) -> str:
    """A client's text as it may stand in a message: printable and short."""
    short = str(text)[: LONGEST_PLACE + 1]
    plain = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in short)
    return plain if len(plain) <= LONGEST_PLACE else f"{plain[:LONGEST_PLACE]}..."
