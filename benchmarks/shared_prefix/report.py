"""The pages of `benchmarks.shared_prefix`, one for each part."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from benchmarks.measuring.machine import command, machine_lines
from benchmarks.measuring.tables import table
from benchmarks.shared_prefix.cost import KV_BYTES, LOOPS, PREFIX, TOKEN_BYTES, Cost
from benchmarks.shared_prefix.isolation import Found
from benchmarks.shared_prefix.oracle import Oracle
from benchmarks.shared_prefix.parity import Parity
from benchmarks.shared_prefix.world import BLOCK, KINDS
from trivet.evaluation.statistics import wilson

COLD_GOAL, FLAT_GOAL = 1.2, 1.1


def of_cost(costs: Sequence[Cost], described: Mapping[str, Any]) -> list[str]:
    """Markdown lines."""
    by_kind = {kind: [one for one in costs if one.kind == kind] for kind in KINDS}
    goals = [
        _goal("cold adapter's first token to the base's warm one",
              max(map(_slowdown, by_kind["activated"])), COLD_GOAL),
        _goal("tokens of the prefix that were computed, most adapters to one",
              _growth([one.prefix_computed for one in by_kind["activated"]]), FLAT_GOAL),
        _goal("KV blocks of the prefix, most adapters to one",
              _growth([one.prefix_blocks for one in by_kind["activated"]]), FLAT_GOAL),
    ]  # fmt: skip
    return [
        "# One prefix for all adapters",
        "",
        f"`{command('shared_prefix')}`. A prefix of {PREFIX} tokens, a cache of {KV_BYTES >> 20} MiB, which holds "
        f"{KV_BYTES // TOKEN_BYTES / PREFIX:.0f} such prefixes. Times in milliseconds.",
        "",
        *(f"- {one}" for one in goals),
        "",
        *table(
            ("adapters", "kind", "first token: base, warm", "adapter, cold", "adapter, warm", "cold to base, median",
             "prompt tokens computed for all cold ones", "KV held while all answer, MiB", "MiB an adapter",
             "requests/s", "tokens computed a request"),
            [_row(one) for one in costs],
        ),
        "",
        f"Requests/s: {LOOPS} closed loops, each request of an adapter drawn anew.",
        "",
        "## Machine",
        "",
        *machine_lines(described),
    ]  # fmt: skip


def _row(cost: Cost) -> tuple[object, ...]:
    held = cost.held * BLOCK * TOKEN_BYTES / 2**20
    return (
        cost.adapters, cost.kind, _ms(cost.base), _ms(cost.cold), _ms(cost.warm), f"{_slowdown(cost):.2f}",
        f"{cost.computed:,}", f"{held:.1f}", f"{held / cost.adapters:.2f}", f"{cost.rate:.1f}", cost.rate_computed,
    )  # fmt: skip


def _ms(values: Sequence[float]) -> str:
    return f"{median(values) * 1000:.1f}"


def _slowdown(cost: Cost) -> float:
    """Each cold request beside the base's right before it: what else the machine does hits both."""
    return median(cold / base for cold, base in zip(cost.cold, cost.base, strict=True))


def _growth(values: Sequence[float]) -> float:
    return values[-1] / values[0]


def _goal(what: str, found: float, goal: float) -> str:
    return f"{what}: **{found:.2f}**, wanted at most {goal:g}: {'met' if found <= goal else 'missed'}"


def of_isolation(found: Found, described: Mapping[str, Any], wanted: int) -> list[str]:
    """Markdown lines."""
    return [
        "# Isolation of base, plain and activated adapters",
        "",
        f"`{command('shared_prefix')}`",
        "",
        f"- {found.total:,} answers, of {wanted:,} wanted, in {found.seconds:.0f} s of rounds",
        f"- **wrong answers: {len(found.wrong)}**" + _at_most(len(found.wrong), found.total),
        *(f"    - {one}" for one in found.wrong[:5]),
        f"- {len(found.alone)} pairs of a model and a question, {len(set(found.alone.values()))} different answers; "
        f"{found.near} pairs left out, whose tokens were too near to each other",
        f"- of {found.read:,} prompt tokens {found.cached:,} came out of the cache; {found.preemptions:,} preemptions; "
        f"{found.swaps:,} adapters loaded, asked and unloaded meanwhile",
        "",
        *table(("model", "answers"), sorted(found.answers.items())),
        "",
        "## Machine",
        "",
        *machine_lines(described),
    ]


def _at_most(wrong: int, total: int) -> str:
    """The rule of three."""
    return f" (at most {3 / total:.1e} of them, with 95% confidence)" if not wrong and total else ""


def of_oracle(found: Sequence[Oracle], described: Mapping[str, Any]) -> list[str]:
    """Markdown lines."""
    return [
        "# What one tenant can learn of another's text",
        "",
        f"`{command('shared_prefix')}`. A pair: the right guess and a wrong one.",
        "",
        *table(
            ("cache", "asked", "pairs", "told apart by cached tokens", "right guess quicker", "95% interval",
             "both found the prefix cached"),
            [(one.cache, one.kind, one.pairs, one.counts, one.quicker, _interval(one), one.prefix_cached)
             for one in found],
        ),
        "",
        "Chance is a half of the pairs quicker.",
        "",
        "## Machine",
        "",
        *machine_lines(described),
    ]  # fmt: skip


def _interval(one: Oracle) -> str:
    found = wilson(one.quicker, one.pairs)
    return f"{found.low:.3f} to {found.high:.3f}"


def of_parity(found: Sequence[Parity], described: Mapping[str, Any]) -> list[str]:
    """Markdown lines."""
    return [
        "# Activated adapters: the engine's ids beside PEFT's",
        "",
        f"`{command('shared_prefix')}`",
        "",
        *table(
            ("adapter", "prompts", "ids equal", "differ by rounding alone", "widest gap then, logits", "wrong"),
            [(one.adapter, one.prompts, one.equal, one.tied, _gap(one.widest), one.wrong) for one in found],
        ),
        "",
        "## Machine",
        "",
        *machine_lines(described),
    ]


def _gap(widest: float) -> str:
    return f"{widest:.0e}" if widest and math.isfinite(widest) else ""
