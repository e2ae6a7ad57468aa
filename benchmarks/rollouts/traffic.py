"""Traffic of a simulated route: heavy-tailed units with effects of their own, drift, bots, cold starts and harms."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.rollouts.by_unit import ByUnit
from trivet.rollouts.spec import GuardrailKind
from trivet.rollouts.statistics import Numbers
from trivet.rollouts.tallying.thresholds import BLOCK_REQUESTS, COST_QUANTILE, LATENCY_QUANTILE, quantile

Flags = NDArray[np.bool_]
Indices = NDArray[np.int64]

_PARETO = 1.3
_TTFT_MS, _TTFT_WITHIN, _TTFT_BETWEEN = 200.0, 0.5, 0.3
_COST, _COST_WITHIN, _COST_BETWEEN = 1_000_000.0, 0.6, 0.4  # nano-USD
_RATERS = 0.1


@dataclass(frozen=True)
class Rate:
    """A 0/1 number: its mean over requests, and how much of its variance lies between units."""

    mean: float
    between: float


BASE: Mapping[GuardrailKind, Rate] = {
    GuardrailKind.ERROR: Rate(0.005, 0.05),
    GuardrailKind.FORMAT: Rate(0.05, 0.1),
    GuardrailKind.DEGRADED: Rate(0.01, 0.05),
    GuardrailKind.FEEDBACK: Rate(0.2, 0.3),
}


@dataclass(frozen=True)
class World:
    """`share`: of units, a step each; requests are spread evenly over steps. `seconds_between`: of requests.

    `worse`: points that the candidate adds to a rate. `slower`, `dearer`: its factors on time and cost. `drift`: how
    much rates and times move over the whole, in both arms alike, a sine of any phase. `bot`: the share of all requests
    that one unit sends, which always fails. `cold`: the candidate's first requests at three times the time;
    `cold_marked`: and are told. `arriving`: the candidate's share among units that arrive, where it is not what the
    weights say.
    """

    units: int
    shares: tuple[float, ...]
    requests: int = 20_000
    seconds_between: float = 0.125
    worse: Mapping[GuardrailKind, float] = field(default_factory=dict)
    slower: float = 1.0
    dearer: float = 1.0
    drift: float = 0.0
    bot: float = 0.0
    cold: int = 0
    cold_marked: bool = False
    arriving: float | None = None


@dataclass(frozen=True)
class Requests:
    """One step's, in time order, shape (requests,). `numbers`: NaN where a guardrail has none.

    `ttft_ms` and `cost`, in whole nano-USD, are what the numbers of time and cost were made of.
    """

    unit: Indices
    candidate: Flags
    at: Numbers
    counts: Flags
    new: Flags
    ttft_ms: Numbers
    cost: Numbers
    numbers: Mapping[GuardrailKind, Numbers]

    def part(self, begin: int, end: int) -> Requests:
        """Those from `begin` on and before `end`."""
        some = slice(begin, end)
        return Requests(
            self.unit[some], self.candidate[some], self.at[some], self.counts[some], self.new[some],
            self.ttft_ms[some], self.cost[some], {kind: values[some] for kind, values in self.numbers.items()},
        )  # fmt: skip

    @classmethod
    def joined(cls, parts: list[Requests]) -> Requests:
        """Of several steps, as if they were one."""

        def column(values: Callable[[Requests], NDArray[Any]]) -> NDArray[Any]:
            return np.concatenate([values(one) for one in parts])

        return cls(
            column(lambda one: one.unit), column(lambda one: one.candidate), column(lambda one: one.at),
            column(lambda one: one.counts), column(lambda one: one.new), column(lambda one: one.ttft_ms),
            column(lambda one: one.cost),
            {kind: np.concatenate([one.numbers[kind] for one in parts]) for kind in parts[0].numbers},
        )  # fmt: skip


@dataclass(frozen=True)
class Traffic:
    """A run's requests. `ttft_ms_before`, `cost_before`: of stable's requests before the first step, one block."""

    steps: list[Requests]
    ttft_ms_before: Numbers
    cost_before: Numbers


def draw(world: World, rng: np.random.Generator) -> Traffic:
    """Units keep their side as the share grows, as the server's hashing makes them.

    Requests come on a grid of 1/8 s, so that times are exact in the server's floats, and no look is a tie.
    """
    place = rng.random(world.units)
    unit = _units(world, rng)
    share = np.repeat(world.shares, world.requests // len(world.shares))
    unit = unit[: len(share)]
    candidate = place[unit] < (share if world.arriving is None else world.arriving)
    wave = world.drift * np.sin(rng.uniform(0, 2 * np.pi) + np.linspace(0, 2 * np.pi, len(unit)))
    counts = np.ones(len(unit), dtype=np.bool_)
    cold = candidate & (np.cumsum(candidate) <= world.cold)
    if world.cold_marked:
        counts &= ~cold
    ttft = _lognormal(world.units, unit, _TTFT_MS, _TTFT_WITHIN, _TTFT_BETWEEN, rng) * np.exp(wave)
    ttft *= np.where(candidate, world.slower, 1.0) * np.where(cold, 3.0, 1.0)
    cost = _costs(world.units, unit, rng, np.where(candidate, world.dearer, 1.0))
    new = np.zeros(len(unit), dtype=np.bool_)
    new[np.unique(unit, return_index=True)[1]] = True
    at: Numbers = (np.arange(len(unit), dtype=np.float64) + 1) * world.seconds_between
    numbers = _answers(world, unit, candidate, wave, rng)
    whole = Requests(unit, candidate, at, counts, new, ttft, cost, numbers)
    some = unit[:BLOCK_REQUESTS]
    before = _lognormal(world.units, some, _TTFT_MS, _TTFT_WITHIN, _TTFT_BETWEEN, rng)
    spent = _costs(world.units, some, rng, np.ones(len(some)))
    return Traffic(_measured(whole, world, before, spent), before, spent)


def _measured(whole: Requests, world: World, before: Numbers, spent: Numbers) -> list[Requests]:
    """The steps, with the numbers of time and cost: against stable's limits of the blocks before each request."""
    tau, cap = quantile(before.tolist(), LATENCY_QUANTILE), quantile(spent.tolist(), COST_QUANTILE)
    size, steps = world.requests // len(world.shares), []
    for number in range(len(world.shares)):
        step = whole.part(number * size, (number + 1) * size)
        of_stable = ByUnit.of(2 * step.unit + step.candidate).first(step.counts) & ~step.candidate
        taus, tau = _limits(step.ttft_ms, of_stable, LATENCY_QUANTILE, tau)
        caps, cap = _limits(step.cost, of_stable, COST_QUANTILE, cap)
        late, dear = (step.ttft_ms > taus).astype(np.float64), np.minimum(step.cost, caps) / caps
        steps.append(replace(step, numbers={**step.numbers, GuardrailKind.TTFT: late, GuardrailKind.COST: dear}))
    return steps


def _answers(
    world: World, unit: Indices, candidate: Flags, wave: Numbers, rng: np.random.Generator
) -> dict[GuardrailKind, Numbers]:
    """What the answers themselves say; one that failed has no form."""
    numbers = {kind: _binary(world, kind, rate, unit, candidate, wave, rng) for kind, rate in BASE.items()}
    if world.bot:
        numbers[GuardrailKind.ERROR][unit == 0] = 1.0
    numbers[GuardrailKind.FORMAT][numbers[GuardrailKind.ERROR] == 1] = np.nan
    numbers[GuardrailKind.FEEDBACK][rng.random(len(unit)) >= _RATERS] = np.nan
    return numbers


def _units(world: World, rng: np.random.Generator) -> Indices:
    activity = rng.pareto(_PARETO, world.units) + 1
    if world.bot:
        activity[0] = activity[1:].sum() * world.bot / (1 - world.bot)
    edges = np.cumsum(activity)
    drawn = np.searchsorted(edges, rng.random(world.requests) * edges[-1])
    found: Indices = np.minimum(drawn, world.units - 1).astype(np.int64)
    return found


def _binary(
    world: World,
    kind: GuardrailKind,
    rate: Rate,
    unit: Indices,
    candidate: Flags,
    wave: Numbers,
    rng: np.random.Generator,
) -> Numbers:
    size = 1 / rate.between - 1
    own: Numbers = rng.beta(rate.mean * size, (1 - rate.mean) * size, world.units)[unit] * (1 + wave)
    added = world.worse.get(kind, 0.0) / (1 - rate.mean) * (1 - own)
    found: Numbers = (rng.random(len(unit)) < own + np.where(candidate, added, 0.0)).astype(np.float64)
    return found


def _lognormal(
    units: int, unit: Indices, median: float, within: float, between: float, rng: np.random.Generator
) -> Numbers:
    own = rng.normal(0, between, units)
    found: Numbers = median * np.exp(own[unit] + rng.normal(0, within, len(unit)))
    return found


def _costs(units: int, unit: Indices, rng: np.random.Generator, factor: Numbers) -> Numbers:
    found: Numbers = np.rint(_lognormal(units, unit, _COST, _COST_WITHIN, _COST_BETWEEN, rng) * factor)
    return found


def _limits(values: Numbers, of_stable: Flags, q: float, before: float) -> tuple[Numbers, float]:
    """The limit in force for each request, of the last full block of stable's before it; and the one after them all."""
    counted = of_stable.astype(np.int64)
    seen = np.cumsum(counted) - counted
    measured = values[of_stable]
    full = len(measured) // BLOCK_REQUESTS
    blocks = [quantile(block.tolist(), q) for block in measured[: full * BLOCK_REQUESTS].reshape(full, BLOCK_REQUESTS)]
    limits = np.array([before, *blocks])
    return limits[seen // BLOCK_REQUESTS], float(limits[-1])
