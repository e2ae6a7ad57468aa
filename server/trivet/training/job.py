"""What to train, and who is told how far it is; without the libraries that train."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from trivet.training.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Job:
    """What to train, on what, and where to put it. `price_per_hour` in USD; `checkpoint_steps`: between checkpoints.

    `start`: the folder of an adapter that is trained on.
    """

    name: str
    version: str
    base: Path
    base_name: str
    data: tuple[Path, ...]
    out: Path
    recipe: Recipe
    held_out: tuple[Path, ...] = ()
    price_per_hour: float | None = None
    checkpoint_steps: int = 50
    start: Path | None = None

    @property
    def target(self) -> Path:
        """The adapter's folder."""
        return self.out / self.name / self.version


class Watcher(Protocol):
    """Who is told how far it is."""

    def begin(self, stage: str, total: int, done: int = 0) -> None:
        """A stage of `total` parts begins, of which some were done before."""

    def advance(self, detail: str = "") -> None:
        """One more part is done."""

    def note(self, text: str) -> None:
        """Something a person wants to know."""
