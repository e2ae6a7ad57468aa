"""Traffic of a simulated route: heavy-tailed units with effects of their own, drift, bots, cold starts and harms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from trivet.rollouts.spec import GuardrailKind
from trivet.rollouts.statistics import Numbers
from trivet.rollouts.tallying.thresholds import BLOCK_REQUESTS, COST_QUANTILE, LATENCY_QUANTILE, quantile

Flags = NDArray[np.bool_]
Indices = NDArray[np.int64]

_PARETO = 1.3
_TTFT_MS, _TTFT_WITHIN, _TTFT_BETWEEN = 200.0, 0.5, 0.3
_COST, _COST_WITHIN, _COST_BETWEEN = 1000.0, 0.6, 0.4
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
    much rates and times move over the whole, in both arms alike, a
    sine of any phase. `bot`: the share of all requests that one unit sends,
    which always fails. `cold`: the candidate's first requests at three times the time; `cold_marked`: and are told.
    `arriving`: the candidate's share among units that arrive, where it is not what the weights say.
    """

    units: int
    shares: tuple[float, ...]
    requests: int = 20_000
    seconds_between: float = 0.1
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
    """One step's, in time order, shape (requests,). `numbers`: NaN where a guardrail has none."""

    unit: Indices
    candidate: Flags
    at: Numbers
    counts: Flags
    new: Flags
    numbers: Mapping[GuardrailKind, Numbers]


def draw(world: World, rng: np.random.Generator) -> list[Requests]:
    """A run's requests, a step each. Units keep their side as the share grows, as the server's hashing makes them."""
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
    numbers = {kind: _binary(world, kind, rate, unit, candidate, wave, rng) for kind, rate in BASE.items()}
    if world.bot:
        numbers[GuardrailKind.ERROR][unit == 0] = 1.0
    numbers[GuardrailKind.FEEDBACK][rng.random(len(unit)) >= _RATERS] = np.nan
    ttft = _lognormal(world.units, unit, _TTFT_MS, _TTFT_WITHIN, _TTFT_BETWEEN, rng) * np.exp(wave)
    ttft *= np.where(candidate, world.slower, 1.0) * np.where(cold, 3.0, 1.0)
    cost = _lognormal(world.units, unit, _COST, _COST_WITHIN, _COST_BETWEEN, rng)
    cost *= np.where(candidate, world.dearer, 1.0)
    new = np.zeros(len(unit), dtype=np.bool_)
    new[np.unique(unit, return_index=True)[1]] = True
    ends = np.cumsum(np.full(len(world.shares), world.requests // len(world.shares)))
    at: Numbers = (np.arange(len(unit), dtype=np.float64) + 1) * world.seconds_between
    before = _lognormal(world.units, unit[:BLOCK_REQUESTS], _TTFT_MS, _TTFT_WITHIN, _TTFT_BETWEEN, rng)
    spent = _lognormal(world.units, unit[:BLOCK_REQUESTS], _COST, _COST_WITHIN, _COST_BETWEEN, rng)
    limits = quantile(before.tolist(), LATENCY_QUANTILE), quantile(spent.tolist(), COST_QUANTILE)
    steps = []
    for begin, end in zip((0, *ends[:-1]), ends, strict=True):
        part = slice(int(begin), int(end))
        stable = ~candidate[part] & counts[part]
        tau = _limits(ttft[part], stable, LATENCY_QUANTILE, limits[0])
        cap = _limits(cost[part], stable, COST_QUANTILE, limits[1])
        limits = float(tau[-1]), float(cap[-1])
        values = {kind: number[part] for kind, number in numbers.items()}
        values[GuardrailKind.TTFT] = (ttft[part] > tau).astype(np.float64)
        values[GuardrailKind.COST] = np.minimum(cost[part], cap) / cap
        steps.append(Requests(unit[part], candidate[part], at[part], counts[part], new[part], values))
    return steps


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


def _limits(values: Numbers, stable: Flags, q: float, before: float) -> Numbers:
    """The limit in force for each request: of the last full block of stable requests before it."""
    counted = stable.astype(np.int64)
    seen = np.cumsum(counted) - counted
    of_stable = values[stable]
    full = len(of_stable) // BLOCK_REQUESTS
    blocks = [quantile(block.tolist(), q) for block in of_stable[: full * BLOCK_REQUESTS].reshape(full, BLOCK_REQUESTS)]
    found: Numbers = np.array([before, *blocks])[seen // BLOCK_REQUESTS]
    return found
