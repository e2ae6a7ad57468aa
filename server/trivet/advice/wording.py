"""Advice in words, cells and plain data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from trivet.advice.evidence import Amount
from trivet.advice.result import Action, Advice, Finding

_MARKS = {Finding.YES: "yes", Finding.NO: "no", Finding.OPEN: "not known"}


def headline(advice: Advice) -> str:
    """What to do, in one sentence."""
    return f"{advice.action.value[0].upper()}{advice.action.value[1:]}: {advice.reason}."


def lines(advice: Advice) -> Iterator[str]:
    """What follows from it: quality, training, costs, what is lacking."""
    yield f"Now: {advice.current} has {advice.current_right} right (n = {advice.current_right.n:,})."
    if advice.expected is not None and advice.arm != advice.current:
        word = "Leads so far" if advice.action is Action.COLLECT else "Expected"
        yield f"{word}: {advice.arm} has {advice.expected} right."
    elif advice.expected is None and advice.action is not Action.OTHER_MODEL:
        yield "Expected: not known before it is trained and evaluated on the same questions."
    if advice.examples is not None:
        least, reliable = advice.examples
        yield f"Examples for the training: {least:,}, and {reliable:,} to be reliable; failures of the prompt first."
    for month in advice.months:
        yield (
            f"{month.requests:,.0f} requests a month: {dollars(month.current)} now, "
            f"{dollars(month.advised)} as advised."
        )
    if advice.pays_after is not None:
        yield f"A training is paid after {advice.pays_after:,} requests."
    for need in advice.needs:
        yield f"Collect: {need}."


def steps(advice: Advice) -> tuple[list[str], list[list[str]]]:
    """Headers and rows of the procedure."""
    rows = [[step.question, _MARKS[step.finding], step.evidence] for step in advice.steps]
    return ["question", "answer", "evidence"], rows


def turns(advice: Advice) -> list[str]:
    """What would change the advice."""
    return list(dict.fromkeys(step.changes for step in advice.steps if step.changes))


def dollars(amount: Amount | None) -> str:
    """USD with the ends of the interval."""
    if amount is None:
        return "unknown"
    if amount.low == amount.high:
        return f"${_number(amount.value)}"
    return f"${_number(amount.value)} [{_number(amount.low)}, {_number(amount.high)}]"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def as_data(advice: Advice) -> dict[str, Any]:
    """As JSON: shares between 0 and 1, amounts in USD a month."""
    data = asdict(advice)
    data["action"] = advice.action.value
    for step, made in zip(advice.steps, data["steps"], strict=True):
        made["finding"] = step.finding.value
    return data
