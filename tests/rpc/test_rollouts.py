"""The calls about rollouts: who may make them, what is asked for, how each refusal shows, and bounded streams."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from tests.support.gateway.admin_stub import admin_stub
from tests.support.gateway.harness import Failure, failure
from trivet.api.v1 import admin_pb2_grpc, rollout_pb2
from trivet.errors import Conflict, FailedPrecondition, NotFound, StateUnavailable, UnknownRoute
from trivet.rollouts.judgement.case import Health, Reason
from trivet.rollouts.judgement.decisions import Decision
from trivet.rollouts.judgement.evidence import Evidence, GuardrailEvidence, Test
from trivet.rollouts.observation import Exclusion
from trivet.rollouts.ports.operations import GatewayView, Look, RolloutStatus
from trivet.rollouts.spec import GuardrailKind, RolloutSpec
from trivet.rollouts.states import Event, State
from trivet.rollouts.tallying.thresholds import Thresholds
from trivet.rpc.rollouts import RolloutWatches
from trivet.rpc.rollouts.wire import rollout_to_proto
from trivet.types.request import KeyRole
from trivet.types.rollout import Arm
from trivet.types.rollout_state import ObservationBatch, StoredBatch, Transition

SPEC = RolloutSpec("tickets", "sorter", "sorter-2", "a" * 64, "b" * 64)
CROSSED = GuardrailEvidence(
    kind=GuardrailKind.FORMAT, test=Test.ROLLBACK, alpha=0.002, tolerance=0.0, ratio=1.0, estimate=0.2,
    standard_error=0.05, z=4.0, boundary=3.0, stable=(40, 80, 0, 160, 0, 0), candidate=(41, 90, 18, 200, 40, 10),
    crossed=True,
)  # fmt: skip
EVIDENCE = Evidence(
    step=1, share=0.25, units={Arm.STABLE: 40, Arm.CANDIDATE: 41}, new_units={Arm.STABLE: 4, Arm.CANDIDATE: 5},
    counted=170, exclusions={Exclusion.COLD: 7, Exclusion.NO_UNIT: 3}, sample_ratio_log_evidence=-1.5, tests=(CROSSED,),
)  # fmt: skip
LOOK = Look(
    at=1000.25,
    decision=Decision(Event.ROLLBACK, Reason.GUARDRAIL_CROSSED, "format: beyond.", EVIDENCE),
    health=Health(holes=("lost 3",), waiting_for=("b: loading",), stable_slowdown=1.2),
    thresholds=Thresholds(ttft_ms=80.0),
)
STATUS = RolloutStatus(
    id="r1", route="tickets", spec=SPEC, spec_digest="c" * 64, state=State.CANARY, step=1, share=0.25, revision=14,
    created_at=900.0, since=950.0, judged_since=950.5, look=LOOK,
    gateways=(GatewayView("a", "127.0.0.1:1", 0.5, True, 14), GatewayView("b", "", 0.7, True, 13, "loading", False)),
)  # fmt: skip
VERBS = ("Start", "Advance", "Approve", "Resume", "Promote", "Rollback", "Cancel")


def transition(revision: int, evidence: str = "{}") -> Transition:
    return Transition("r1", "tickets", revision, 2, 1000.0, "advance", "canary", "canary", 0, 1, 0.25, "passed", "Go.",
                      "controller", evidence)  # fmt: skip


def stored(number: int, *, step: int = 0, data: bytes) -> StoredBatch:
    batch = ObservationBatch(rollout="r1", step=step, gateway="a", epoch="e", seq=number, data=data)
    return StoredBatch(number=number, at=10.0 * number, batch=batch)


class Control:
    """Keeps what it is asked; raises `error` if there is one."""

    def __init__(self, error: Exception | None = None) -> None:
        self.asked: list[Any] = []
        self.error = error
        self.log: list[Transition] = []
        self.stored: list[StoredBatch] = []
        self.endless = True
        self.watched = 0
        self.left = 0

    def __getattr__(self, verb: str) -> Any:
        async def change(route: str, **given: Any) -> RolloutStatus:
            self.asked.append((verb, route, given))
            if self.error is not None:
                raise self.error
            return replace(STATUS, revision=15)

        return change

    async def status(self, route: str) -> RolloutStatus:
        if self.error is not None:
            raise self.error
        return STATUS

    async def statuses(self) -> list[RolloutStatus]:
        return [STATUS]

    async def history(self, route: str, limit: int) -> list[RolloutStatus]:
        return [STATUS] * min(limit, 2)

    async def transitions(self, route: str, after_revision: int, limit: int) -> list[Transition]:
        return [one for one in self.log if one.revision > after_revision][:limit]

    async def batches(self, rollout: str, after_number: int, limit: int) -> list[StoredBatch]:
        return [one for one in self.stored if one.number > after_number][:limit]

    async def watch(self, route: str) -> AsyncIterator[RolloutStatus]:
        self.watched += 1
        try:
            yield STATUS
            yield replace(STATUS, revision=15)
            if self.endless:
                await asyncio.Event().wait()
        finally:
            self.left += 1


def change(**fields: Any) -> rollout_pb2.RolloutChange:
    return rollout_pb2.RolloutChange(**({"route": "tickets", "reason": "because"} | fields))


async def fails(call: Any) -> Failure:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call
    return failure(raised.value)


def call(stub: admin_pb2_grpc.AdminStub, verb: str, **fields: Any) -> Any:
    request = getattr(rollout_pb2, f"{verb}RolloutRequest")(change=change(**fields))
    return getattr(stub, f"{verb}Rollout")(request)


async def test_a_rollout_shows_all_that_a_look_and_the_gateways_say() -> None:
    async with admin_stub(rollouts=Control()) as stub:
        found = (await stub.GetRollout(rollout_pb2.GetRolloutRequest(route="tickets"))).rollout
    assert (found.state, found.step, found.share, found.revision) == (rollout_pb2.ROLLOUT_STATE_CANARY, 1, 0.25, 14)
    assert list(found.spec.steps) == [0.01, 0.05, 0.25, 0.5]
    assert [(one.guardrail, one.required) for one in found.spec.guardrails][:2] == [("error", True), ("format", True)]
    assert (found.changed_at.seconds, found.judged_since.nanos) == (950, 500_000_000)
    look = found.look
    assert (look.event, look.reason, look.at.nanos) == ("rollback", "guardrail_crossed", 250_000_000)
    assert (look.stable.units, look.candidate.new_units, look.counted) == (40, 5, 170)
    assert [(one.reason, one.requests) for one in look.exclusions] == [("cold", 7), ("no_unit", 3)]
    assert (list(look.holes), list(look.waiting_for), look.stable_slowdown) == (["lost 3"], ["b: loading"], 1.2)
    assert look.thresholds.ttft_ms == 80.0
    assert not look.thresholds.HasField("cost_nano_usd")
    (estimate,) = look.estimates
    assert (estimate.guardrail, estimate.test, estimate.crossed) == ("format", "rollback", True)
    assert (estimate.lower, estimate.upper) == pytest.approx((0.05, 0.35))
    assert (estimate.candidate.units, estimate.candidate.y, estimate.stable.nn) == (41, 18, 160)
    assert [(one.id, one.ready, one.applied_revision, one.same_spec) for one in found.gateways] == [
        ("a", True, 14, True), ("b", False, 13, False),
    ]  # fmt: skip


async def test_a_number_that_is_not_finite_is_absent() -> None:
    without = replace(CROSSED, z=math.inf, boundary=math.inf, estimate=None, standard_error=None)
    evidence = replace(EVIDENCE, tests=(without,))
    status = replace(STATUS, look=replace(LOOK, decision=replace(LOOK.decision, evidence=evidence)))
    (estimate,) = rollout_to_proto(status).look.estimates
    assert [estimate.HasField(name) for name in ("estimate", "lower", "z", "boundary")] == [False] * 4


async def test_rollouts_are_listed_by_route_or_the_newest_of_each() -> None:
    async with admin_stub(rollouts=Control()) as stub:
        assert len((await stub.ListRollouts(rollout_pb2.ListRolloutsRequest())).rollouts) == 1
        of_one = rollout_pb2.ListRolloutsRequest(route="tickets", limit=2)
        assert len((await stub.ListRollouts(of_one)).rollouts) == 2
        for limit in (-1, 101):
            said = await fails(stub.ListRollouts(rollout_pb2.ListRolloutsRequest(limit=limit)))
            assert said.code == "INVALID_ARGUMENT"
            assert said.fields == {"limit": f"{limit}, expected 1 to 100, or 0 for 20"}


@pytest.mark.parametrize("verb", VERBS)
async def test_a_change_is_made_with_who_and_why(verb: str) -> None:
    control = Control()
    async with admin_stub(rollouts=control, keys={"ops": KeyRole.OPERATOR}) as stub:
        request = getattr(rollout_pb2, f"{verb}RolloutRequest")(change=change(actor="dana", revision=14))
        metadata = [("authorization", "Bearer ops")]
        answer = await getattr(stub, f"{verb}Rollout")(request, metadata=metadata)
        assert answer.rollout.revision == 15
        ((asked, route, given),) = control.asked
        assert (asked, route, given["revision"]) == (verb.lower(), "tickets", 14)
        assert (given["actor"], given["reason"]) == ("dana (key ops)", "because")
        await getattr(stub, f"{verb}Rollout")(
            getattr(rollout_pb2, f"{verb}RolloutRequest")(change=change()), metadata=metadata
        )
        assert control.asked[1][2]["revision"] is None
        assert control.asked[1][2]["actor"] == "operator (key ops)"


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"reason": ""}, {"change.reason": "is empty, expected why the rollout is changed"}),
        ({"reason": "  "}, {"change.reason": "is empty, expected why the rollout is changed"}),
        ({"reason": "a\nb"}, {"change.reason": "expected printable characters, in one line"}),
        ({"actor": "\x1b[2J"}, {"change.actor": "expected printable characters, in one line"}),
        ({"actor": "x" * 129}, {"change.actor": "expected at most 128 characters, got 129"}),
    ],
)
@pytest.mark.parametrize("verb", VERBS)
async def test_a_change_without_a_reason_that_can_be_shown_is_not_made(
    verb: str, fields: dict[str, str], wrong: dict[str, str]
) -> None:
    control = Control()
    async with admin_stub(rollouts=control) as stub:
        said = await fails(call(stub, verb, **fields))
    assert (said.code, said.fields) == ("INVALID_ARGUMENT", wrong)
    assert control.asked == []


@pytest.mark.parametrize(
    ("error", "code", "reason"),
    [
        (Conflict("at revision 16 by now, expected 14", 16), grpc.StatusCode.ABORTED, "CONFLICT"),
        (FailedPrecondition("expected one of halt"), grpc.StatusCode.FAILED_PRECONDITION, "FAILED_PRECONDITION"),
        (UnknownRoute("tickets"), grpc.StatusCode.NOT_FOUND, "UNKNOWN_ROUTE"),
        (NotFound("no rollout yet"), grpc.StatusCode.NOT_FOUND, "NOT_FOUND"),
        (StateUnavailable("the state store is away"), grpc.StatusCode.UNAVAILABLE, "STATE_UNAVAILABLE"),
    ],
)  # fmt: skip
async def test_each_refusal_has_a_status_of_its_own(error: Exception, code: grpc.StatusCode, reason: str) -> None:
    async with admin_stub(rollouts=Control(error)) as stub:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await call(stub, "Rollback")
    assert raised.value.code() is code
    assert str(error) in (raised.value.details() or "")
    status = status_pb2.Status.FromString(dict(raised.value.trailing_metadata())["grpc-status-details-bin"])
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    assert info.reason == reason
    assert info.metadata.get("revision", "") == ("16" if isinstance(error, Conflict) else "")


def every_call(stub: admin_pb2_grpc.AdminStub, key: str) -> list[Any]:
    metadata = [("authorization", f"Bearer {key}")]
    requests: list[tuple[str, Message]] = [
        ("GetRollout", rollout_pb2.GetRolloutRequest(route="tickets")),
        ("ListRollouts", rollout_pb2.ListRolloutsRequest()),
        ("ListRolloutTransitions", rollout_pb2.ListRolloutTransitionsRequest(route="tickets")),
        *((f"{verb}Rollout", getattr(rollout_pb2, f"{verb}RolloutRequest")(change=change())) for verb in VERBS),
    ]
    calls = [getattr(stub, name)(request, metadata=metadata) for name, request in requests]
    streams = [
        stub.WatchRollout(rollout_pb2.WatchRolloutRequest(route="tickets"), metadata=metadata),
        stub.ReadRolloutObservations(rollout_pb2.ReadRolloutObservationsRequest(rollout="r1"), metadata=metadata),
    ]
    return [*calls, *(stream.read() for stream in streams)]


async def test_no_call_is_a_clients() -> None:
    control = Control()
    async with admin_stub(rollouts=control, keys={"acme": KeyRole.CLIENT, "ops": KeyRole.OPERATOR}) as stub:
        for waiting in every_call(stub, "acme"):
            assert (await fails(waiting)).code == "PERMISSION_DENIED"
    assert (control.asked, control.watched) == ([], 0)


async def test_the_audit_log_comes_in_pages_that_fit_a_message() -> None:
    control = Control()
    control.log = [transition(revision, '{"x": "' + "y" * 400_000 + '"}') for revision in range(1, 8)]
    seen: list[int] = []
    async with admin_stub(rollouts=control) as stub:
        while True:
            request = rollout_pb2.ListRolloutTransitionsRequest(route="tickets", after_revision=max(seen, default=0))
            page = await stub.ListRolloutTransitions(request)
            assert page.ByteSize() < 2_000_000
            seen += [one.revision for one in page.transitions]
            if not page.more:
                break
    assert seen == list(range(1, 8))
    first = page.transitions[0]
    assert (first.event, first.to_state, first.actor) == ("advance", rollout_pb2.ROLLOUT_STATE_CANARY, "controller")


async def test_observations_are_streamed_in_their_order_to_the_end() -> None:
    control = Control()
    control.stored = [stored(number, step=number // 60, data=b"%d" % number) for number in range(1, 121)]
    async with admin_stub(rollouts=control) as stub:
        request = rollout_pb2.ReadRolloutObservationsRequest(rollout="r1", after_number=2)
        found = [(one.number, one.step, one.data) async for one in stub.ReadRolloutObservations(request)]
    assert found == [(number, number // 60, b"%d" % number) for number in range(3, 121)]


async def left(control: Control, streams: int) -> None:
    async with asyncio.timeout(60):
        while control.left < streams:
            await asyncio.sleep(0.01)


async def test_watching_goes_on_until_the_client_leaves() -> None:
    control = Control()
    async with admin_stub(rollouts=control) as stub:
        stream = stub.WatchRollout(rollout_pb2.WatchRolloutRequest(route="tickets"))
        assert [(await stream.read()).rollout.revision for _ in range(2)] == [14, 15]
        stream.cancel()
        await left(control, 1)


async def test_a_key_has_few_watches_and_another_key_is_not_kept_out() -> None:
    control, watches = Control(), RolloutWatches(most=5, most_of_caller=2, interval=0.01)
    keys = {"one": KeyRole.OPERATOR, "two": KeyRole.OPERATOR}
    async with admin_stub(rollouts=control, watches=watches, keys=keys) as stub:

        def watch(key: str) -> Any:
            request = rollout_pb2.WatchRolloutRequest(route="tickets")
            return stub.WatchRollout(request, metadata=[("authorization", f"Bearer {key}")])

        open_ = [watch("one"), watch("one")]
        for stream in open_:
            await stream.read()
        assert (await fails(watch("one").read())).code == "RESOURCE_EXHAUSTED"
        assert (await watch("two").read()).rollout.revision == 14
        open_[0].cancel()
        await left(control, 1)
        assert (await watch("one").read()).rollout.revision == 14


async def test_watches_end_when_the_server_stops() -> None:
    control, watches = Control(), RolloutWatches(interval=30)
    async with admin_stub(rollouts=control, watches=watches) as stub:
        stream = stub.WatchRollout(rollout_pb2.WatchRolloutRequest(route="tickets"))
        await stream.read()
        watches.close()
        async with asyncio.timeout(60):
            said = await fails(stream.read())
        assert (said.code, said.reason) == ("UNAVAILABLE", "DRAINING")
        await left(control, 1)


async def test_messages_of_a_watch_keep_their_distance() -> None:
    control, watches = Control(), RolloutWatches(interval=0.3)
    control.endless = False
    loop = asyncio.get_running_loop()
    async with admin_stub(rollouts=control, watches=watches) as stub:
        stream = stub.WatchRollout(rollout_pb2.WatchRolloutRequest(route="tickets"))
        await stream.read()
        begun = loop.time()
        await stream.read()
        assert loop.time() - begun > 0.2


async def test_a_reader_that_does_not_read_is_ended() -> None:
    control = Control()
    control.stored = [stored(number, data=b"x" * 500_000) for number in range(1, 80)]
    async with admin_stub(rollouts=control) as stub:
        stream = stub.ReadRolloutObservations(rollout_pb2.ReadRolloutObservationsRequest(rollout="r1"))
        await stream.read()
        await asyncio.sleep(1.5)
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            for _ in range(len(control.stored)):
                await stream.read()
    assert raised.value.code() is grpc.StatusCode.ABORTED
