"""Progress bars on standard error; nothing at all where that is not a terminal."""

from __future__ import annotations

from rich.console import Console
from rich.progress import Progress, ProgressColumn


def bars(*columns: ProgressColumn, transient: bool = True) -> Progress:
    """Bars with these columns; `transient` ones leave nothing behind."""
    console = Console(stderr=True)
    return Progress(*columns, console=console, transient=transient, disable=not console.is_terminal)
