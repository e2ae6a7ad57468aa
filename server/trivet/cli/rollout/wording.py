"""A rollout in words, for people: where it is, what it waits for, what each guardrail says, which gateways follow."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp

from trivet.api.v1 import rollout_pb2
from trivet.cli.console.output import enum_name

ENDED = frozenset(
    {rollout_pb2.ROLLOUT_STATE_PROMOTED, rollout_pb2.ROLLOUT_STATE_ROLLED_BACK, rollout_pb2.ROLLOUT_STATE_CANCELLED}
)
GUARDRAIL_COLUMNS = ("guardrail", "test", "stable", "candidate", "beyond", "interval", "z", "boundary", "units", "")
PAIRED = frozenset({"agreement", "paired"})
"""The tests of shadow pairs: the candidate's sums are those of the pairs."""
GATEWAY_COLUMNS = ("gateway", "revision", "heard of", "candidate")


def state_name(rollout: rollout_pb2.Rollout) -> str:
    """`awaiting approval`, for example."""
    return enum_name(rollout.DESCRIPTOR.fields_by_name["state"], rollout.state).replace("_", " ")


def headline(rollout: rollout_pb2.Rollout) -> str:
    """Which variants, in what state, with how many of the units."""
    steps, step = len(rollout.spec.steps), rollout.step
    where = f", step {step + 1} of {steps}" if 0 <= step < steps and rollout.state not in ENDED else ""
    return (
        f"{rollout.route}: {rollout.spec.stable} to {rollout.spec.candidate}, {state_name(rollout)}{where}; "
        f"{rollout.spec.candidate} has {percent(rollout.share)} of the units (revision {rollout.revision})"
    )


def facts(rollout: rollout_pb2.Rollout) -> Iterator[tuple[str, str]]:
    """What is to be known beside the headline, each with its name."""
    yield "since", moment(rollout.changed_at)
    last = rollout.last_transition
    if last.event:
        yield "last change", change(last)
    look = rollout.look
    if rollout.HasField("look") and rollout.state not in ENDED:
        yield "waits for", look.message
        yield "judged by", _judged_by(rollout)
        if look.exclusions:
            yield "left out", ", ".join(f"{one.requests:,} {_left_out(one.reason)}" for one in look.exclusions)
        if look.holes:
            yield "holes", "; ".join(look.holes)
        if look.waiting_for:
            yield "not ready", "; ".join(look.waiting_for)
    elif rollout.state not in ENDED:
        yield "waits for", _by_hand(rollout)
    if rollout.store_staleness_seconds >= 2:
        yield "store", f"not read for {seconds(rollout.store_staleness_seconds)}: this may be out of date"


def _judged_by(rollout: rollout_pb2.Rollout) -> str:
    look, spec = rollout.look, rollout.spec
    if look.step < 0 and spec.shadow_seconds:
        return f"{pairs(look.estimates):,} copies that {spec.candidate} answered, of {look.candidate.units:,} units"
    return (
        f"{look.stable.units:,} units of {spec.stable} and {look.candidate.units:,} of {spec.candidate}, "
        f"{look.counted:,} requests"
    )


def pairs(estimates: Iterable[rollout_pb2.RolloutEstimate]) -> int:
    """How many copies of requests were compared, by the guardrail that most of them say something of."""
    return max((one.candidate.n for one in estimates if one.test in PAIRED), default=0)


def _left_out(reason: str) -> str:
    return "copies that were not compared" if reason == "shadow" else reason.replace("_", " ")


def _by_hand(rollout: rollout_pb2.Rollout) -> str:
    if rollout.state == rollout_pb2.ROLLOUT_STATE_PENDING:
        return f"trivet rollout start {rollout.route}"
    if rollout.state == rollout_pb2.ROLLOUT_STATE_AWAITING_APPROVAL:
        return f"trivet rollout approve {rollout.route}"
    return "the first look at the data"


def change(transition: rollout_pb2.RolloutTransition) -> str:
    """One entry of the audit log in a line."""
    why = f": {transition.message}" if transition.message else ""
    return f"{transition.event.replace('_', ' ')} by {transition.actor}, {moment(transition.at)}{why}"


def guardrail_rows(look: rollout_pb2.RolloutLook) -> Iterator[Sequence[str]]:
    """A line a test, as GUARDRAIL_COLUMNS. Rates and differences in percent and points."""
    for one in look.estimates:
        yield (
            one.guardrail,
            one.test,
            rate(one.stable),
            difference(one.candidate) if one.test == "paired" else rate(one.candidate),
            f"{100 * one.estimate:+.2f}" if one.HasField("estimate") else "",
            f"{100 * one.lower:+.2f} to {100 * one.upper:+.2f}" if one.HasField("lower") else "",
            f"{one.z:.2f}" if one.HasField("z") else "",
            f"{one.boundary:.2f}" if one.HasField("boundary") else "",
            f"{one.stable.units:,} / {one.candidate.units:,}",
            verdict(one),
        )


def verdict(estimate: rollout_pb2.RolloutEstimate) -> str:
    """What a test found."""
    if not (estimate.stable.n or estimate.candidate.n):
        return "no data yet"
    if estimate.test == "promotion":
        return "proven" if estimate.crossed else "not proven"
    return "CROSSED" if estimate.crossed else "holds"


def gateway_rows(rollout: rollout_pb2.Rollout) -> Iterator[Sequence[str]]:
    """A line a gateway, as GATEWAY_COLUMNS."""
    for one in rollout.gateways:
        behind = "" if one.applied_revision >= rollout.revision else f" of {rollout.revision}"
        name = f"{one.id} ({one.address})" if one.address else one.id
        yield name, f"{one.applied_revision}{behind}", f"{seconds(one.heartbeat_age_seconds)} ago", _gateway_state(one)


def _gateway_state(one: rollout_pb2.RolloutGateway) -> str:
    if not one.live:
        return "no heartbeat: not waited for"
    if not one.same_spec:
        return "its configuration has another spec: it serves the stable variant"
    if one.overridden:
        return "rolled back by hand here alone, until the store is back"
    return "warm" if one.ready else f"not warm: {one.problem or 'being warmed'}"


def rate(sums: rollout_pb2.RolloutSums) -> str:
    """The share of what is worse, in percent; empty without a request."""
    return f"{100 * sums.y / sums.n:.2f}%" if sums.n else ""


def difference(sums: rollout_pb2.RolloutSums) -> str:
    """The mean difference within pairs, in points; empty without a pair."""
    return f"{100 * sums.y / sums.n:+.2f}" if sums.n else ""


def percent(share: float) -> str:
    """`2.5%` for 0.025."""
    return f"{100 * share:.4g}%"


def seconds(value: float) -> str:
    """A time that has passed, in the unit that fits."""
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if value >= 2 * size:
            return f"{value / size:.3g} {unit}"
    return f"{value:.3g} s"


def moment(at: Timestamp) -> str:
    """A time of the store's clock, in UTC."""
    return datetime.fromtimestamp(at.seconds + at.nanos / 1e9, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
