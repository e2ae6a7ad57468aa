"""The features that are switched on and off, and which of the gateways that differ in one of them are compared."""

from __future__ import annotations

from dataclasses import dataclass

PLAIN = "as it comes"


@dataclass(frozen=True, slots=True)
class Comparison:
    """What `dear` takes per request over what `cheap` takes. `goal`: the most that the ratio may be."""

    what: str
    dear: str
    cheap: str
    goal: float | None = None


SCRIPTED = (
    Comparison("nothing: the same again", "again", PLAIN),
    Comparison("tracing off, over no tracing code", PLAIN, "no tracing", 1.03),
    Comparison("tracing a tenth of the requests, over off", "traced 0.1", PLAIN, 1.10),
    Comparison("tracing all requests, over off", "traced", PLAIN, 1.10),
    Comparison("receipts in the log, over none", PLAIN, "no log"),
    Comparison("receipts counted in metrics, over not", PLAIN, "no metrics"),
    Comparison("four limits of the tenant, over none", "limits", PLAIN),
    Comparison("the machine's account, over prices of tokens", "machine", PLAIN),
)
ENGINE = (
    Comparison("nothing: the same again", "again", PLAIN),
    Comparison("tracing a tenth of the requests, over off", "traced 0.1", PLAIN, 1.10),
    Comparison("tracing all requests, over off", "traced", PLAIN, 1.10),
    Comparison("four limits of the tenant, over none", "limits", PLAIN),
    Comparison("the machine's account, over prices of tokens", "machine", PLAIN),
)


def names(comparisons: tuple[Comparison, ...]) -> list[str]:
    """Of all gateways that are compared."""
    return list(dict.fromkeys(name for one in comparisons for name in (one.cheap, one.dear)))
