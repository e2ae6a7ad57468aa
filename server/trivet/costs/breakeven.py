"""A prompt against an adapter against an API: what a request costs each way, and when one way pays. In exact fractions.

Two models of price. A sheet charges tokens; a cached token has a price of its own. A machine is paid by the hour: a
request costs the machine's time that it takes, prefill per uncached token and decode per token of the answer, whatever
else runs beside it. An answer with an adapter takes `decode_factor` times the decode.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import ceil

MILLION = 1_000_000
HOURS_A_MONTH = 730


@dataclass(frozen=True, slots=True)
class Workload:
    """Tokens of a mean request. The prefix is what the prompt says every time; the adapter has learnt it.

    `prefix_missed`: the share of requests whose prefix is not in the cache.
    """

    prefix_tokens: int
    input_tokens: int
    output_tokens: int
    prefix_missed: Fraction = Fraction(0)


@dataclass(frozen=True, slots=True)
class Adapter:
    """What it takes to have one: `training_usd` once, `prefix_tokens` that its prompt keeps, a slower decode."""

    training_usd: Fraction
    prefix_tokens: int = 0
    decode_factor: Fraction = Fraction(1)


@dataclass(frozen=True, slots=True)
class Sheet:
    """USD per million tokens."""

    input: Fraction
    cached: Fraction
    output: Fraction

    def usd(self, work: Workload, prefix_tokens: int) -> Fraction:
        """Of a request with such a prefix."""
        prefix = work.prefix_missed * self.input + (1 - work.prefix_missed) * self.cached
        total = prefix_tokens * prefix + work.input_tokens * self.input + work.output_tokens * self.output
        return total / MILLION


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine by the hour. Rates: tokens per second of its busy time, as measured. `busy`: the share that it is."""

    usd_per_hour: Fraction
    prefill_rate: Fraction
    decode_rate: Fraction
    busy: Fraction = Fraction(1)

    @property
    def usd_per_month(self) -> Fraction:
        """Busy or not."""
        return self.usd_per_hour * HOURS_A_MONTH

    def seconds(self, work: Workload, prefix_tokens: int, decode_factor: Fraction = Fraction(1)) -> Fraction:
        """Busy time of a request with such a prefix."""
        uncached = work.prefix_missed * prefix_tokens + work.input_tokens
        return uncached / self.prefill_rate + decode_factor * work.output_tokens / self.decode_rate

    def usd(self, seconds: Fraction) -> Fraction:
        """Of so much busy time; what the machine idles is not in it."""
        return self.usd_per_hour * seconds / 3600


@dataclass(frozen=True, slots=True)
class Payback:
    """The adapter against the prompt by one model. `requests`: after so many it has paid; None: never."""

    prompt_usd: Fraction
    adapter_usd: Fraction
    requests: int | None


@dataclass(frozen=True, slots=True)
class MachineTime:
    """By machine: the same in seconds.

    `pays_if_missed`: the adapter saves time where the prefix misses in more than this share of requests; None: nowhere.
    """

    payback: Payback
    prompt_seconds: Fraction
    adapter_seconds: Fraction
    pays_if_missed: Fraction | None


@dataclass(frozen=True, slots=True)
class AgainstApi:
    """A machine against an API of the sheet's prices. `requests`: from so many a month on the machine is cheaper.

    None: never, for a full machine costs more than the API. `per_second` of these, on the mean, and the share of one
    machine that they take.
    """

    requests: int | None
    per_second: Fraction | None
    share: Fraction | None
    capacity_per_second: Fraction


@dataclass(frozen=True, slots=True)
class Month:
    """USD for so many requests a month, by way. `machines`: how many it takes."""

    api: Fraction | None
    machine: Fraction | None
    machines: int | None


def payback(prompt_usd: Fraction, adapter_usd: Fraction, training_usd: Fraction) -> Payback:
    """After how many requests the training is paid by what each of them saves."""
    saved = prompt_usd - adapter_usd
    return Payback(prompt_usd, adapter_usd, ceil(training_usd / saved) if saved > 0 else None)


def by_sheet(work: Workload, adapter: Adapter, sheet: Sheet) -> Payback:
    """A sheet does not see that decoding takes longer."""
    return payback(sheet.usd(work, work.prefix_tokens), sheet.usd(work, adapter.prefix_tokens), adapter.training_usd)


def by_machine(work: Workload, adapter: Adapter, machine: Machine) -> MachineTime:
    """By the machine's busy time."""
    prompt = machine.seconds(work, work.prefix_tokens)
    adapted = machine.seconds(work, adapter.prefix_tokens, adapter.decode_factor)
    paid = payback(machine.usd(prompt), machine.usd(adapted), adapter.training_usd)
    return MachineTime(paid, prompt, adapted, _pays_if_missed(work, adapter, machine))


def against_api(work: Workload, sheet: Sheet, machine: Machine) -> AgainstApi:
    """With the prompt. A machine is paid for a whole month, however little it does."""
    capacity = 1 / machine.seconds(work, work.prefix_tokens)
    each, month = sheet.usd(work, work.prefix_tokens), Fraction(HOURS_A_MONTH * 3600)
    if each <= 0 or machine.usd_per_month / each > capacity * month:
        return AgainstApi(None, None, None, capacity)
    requests = machine.usd_per_month / each
    return AgainstApi(ceil(requests), requests / month, requests / month / capacity, capacity)


def of_month(requests: int, work: Workload, sheet: Sheet | None, machine: Machine | None) -> Month:
    """With the prompt; as many machines as it takes, if they could be busy all the time."""
    api = None if sheet is None else requests * sheet.usd(work, work.prefix_tokens)
    if machine is None:
        return Month(api, None, None)
    machines = max(1, ceil(requests * machine.seconds(work, work.prefix_tokens) / (HOURS_A_MONTH * 3600)))
    return Month(api, machines * machine.usd_per_month, machines)


def _pays_if_missed(work: Workload, adapter: Adapter, machine: Machine) -> Fraction | None:
    slower = (adapter.decode_factor - 1) * work.output_tokens / machine.decode_rate
    spared = (work.prefix_tokens - adapter.prefix_tokens) / machine.prefill_rate
    if spared <= 0 or slower >= spared:
        return None
    return max(Fraction(0), slower / spared)
