"""`trivet rollout`: what is asked of the server, and what is said to people."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from click.testing import CliRunner, Result
from google.protobuf.timestamp_pb2 import Timestamp

from trivet.api.v1 import admin_pb2_grpc, rollout_pb2
from trivet.cli.main import main
from trivet.cli.rollout.wording import seconds

NOON = Timestamp(seconds=1_795_780_800)


def estimate(**fields: Any) -> rollout_pb2.RolloutEstimate:
    sums = rollout_pb2.RolloutSums(units=210, n=510, y=2)
    more = rollout_pb2.RolloutSums(units=70, n=200, y=30)
    return rollout_pb2.RolloutEstimate(
        guardrail="format", test="rollback", stable=sums, candidate=more, estimate=0.146, lower=0.05, upper=0.242,
        z=4.5, boundary=3.1, crossed=True,
    )  # fmt: skip


def rollout(**fields: Any) -> rollout_pb2.Rollout:
    """A canary's second step of three, with a guardrail that is crossed and a gateway that is behind."""
    made = rollout_pb2.Rollout(
        id="r1",
        route="tickets",
        spec=rollout_pb2.RolloutSpec(stable="sorter", candidate="sorter-2", steps=[0.05, 0.25, 0.5]),
        state=rollout_pb2.ROLLOUT_STATE_CANARY,
        step=1,
        share=0.25,
        revision=14,
        changed_at=NOON,
        look=rollout_pb2.RolloutLook(
            reason="minimum_units",
            message="210 units of stable and 31 of the candidate, expected at least 50 of each.",
            stable=rollout_pb2.RolloutArm(units=210),
            candidate=rollout_pb2.RolloutArm(units=31),
            counted=700,
            exclusions=[rollout_pb2.RolloutExclusion(reason="no_unit", requests=40)],
            estimates=[estimate()],
        ),
        last_transition=rollout_pb2.RolloutTransition(
            event="advance", actor="controller", at=NOON, message="No guardrail is crossed."
        ),
        gateways=[
            rollout_pb2.RolloutGateway(
                id="a", live=True, applied_revision=14, ready=True, same_spec=True, heartbeat_age_seconds=0.4
            ),
            rollout_pb2.RolloutGateway(
                id="b", live=True, applied_revision=13, same_spec=True, problem="loading", heartbeat_age_seconds=0.9
            ),
        ],
    )
    made.MergeFrom(rollout_pb2.Rollout(**fields))
    return made


class Admin(admin_pb2_grpc.AdminServicer):
    """Keeps what was asked; answers with `now`."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.now = rollout()
        self.watched = [rollout()]

    def GetRollout(self, request: Any, context: Any) -> Any:
        return rollout_pb2.GetRolloutResponse(rollout=self.now)

    def ListRollouts(self, request: Any, context: Any) -> Any:
        self.asked.append(request)
        return rollout_pb2.ListRolloutsResponse(rollouts=[self.now])

    def WatchRollout(self, request: Any, context: Any) -> Any:
        for one in self.watched:
            yield rollout_pb2.WatchRolloutResponse(rollout=one)

    def __getattribute__(self, name: str) -> Any:
        verb = name.removesuffix("Rollout")
        if verb in ("Start", "Advance", "Approve", "Resume", "Promote", "Rollback", "Cancel"):
            return lambda request, context: self.change(name, request)
        return super().__getattribute__(name)

    def change(self, name: str, request: Any) -> Any:
        self.asked.append(request)
        return getattr(rollout_pb2, f"{name}Response")(rollout=self.now)


@pytest.fixture
def admin() -> Iterator[Admin]:
    server = grpc.server(ThreadPoolExecutor(4))
    servicer = Admin()
    admin_pb2_grpc.add_AdminServicer_to_server(servicer, server)  # type: ignore[no-untyped-call,unused-ignore]
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    servicer.__dict__["address"] = f"127.0.0.1:{port}"
    yield servicer
    server.stop(None)


def shadowed() -> rollout_pb2.Rollout:
    """One in its shadow, with 90 pairs of 31 units."""
    none, of = rollout_pb2.RolloutSums(), rollout_pb2.RolloutSums(units=31, n=90, y=-1.8)
    made = rollout(state=rollout_pb2.ROLLOUT_STATE_SHADOW)
    made.step = made.look.step = -1
    made.spec.shadow_seconds = 60
    del made.look.estimates[:]
    made.look.estimates.add(guardrail="format", test="paired", stable=none, candidate=of, estimate=-0.02)
    made.look.estimates.add(guardrail="shadow_agreement", test="agreement", stable=none, candidate=of)
    made.look.exclusions.add(reason="shadow", requests=7)
    return made


def run(admin: Admin, *arguments: str) -> Result:
    environment = {"TRIVET_ADMIN_ADDRESS": admin.__dict__["address"]}
    return CliRunner(env=environment).invoke(main, ["rollout", *arguments])


def test_status_says_the_state_what_it_waits_for_each_guardrail_and_each_gateway(admin: Admin) -> None:
    said = run(admin, "status", "tickets").stdout
    assert said.splitlines()[0] == (
        "tickets: sorter to sorter-2, canary, step 2 of 3; sorter-2 has 25% of the units (revision 14)"
    )
    assert "waits for:   210 units of stable and 31 of the candidate, expected at least 50 of each." in said
    assert "judged by:   210 units of sorter and 31 of sorter-2, 700 requests" in said
    assert "left out:    40 no unit" in said
    assert "last change: advance by controller, 2026-11-27 12:00:00 UTC: No guardrail is crossed." in said
    (line,) = [line.split() for line in said.splitlines() if line.startswith("format")]
    assert line == [
        "format", "rollback", "0.39%", "15.00%", "+14.60", "+5.00", "to", "+24.20", "4.50", "3.10", "210", "/", "70",
        "CROSSED",
    ]  # fmt: skip
    assert [line.split() for line in said.splitlines()[-2:]] == [
        ["a", "14", "0.4", "s", "ago", "warm"],
        ["b", "13", "of", "14", "0.9", "s", "ago", "not", "warm:", "loading"],
    ]


def test_a_guardrail_without_requests_says_so(admin: Admin) -> None:
    del admin.now.look.estimates[:]
    admin.now.look.estimates.add(guardrail="feedback", test="rollback")
    (line,) = [line for line in run(admin, "status", "tickets").stdout.splitlines() if line.startswith("feedback")]
    assert line.split() == ["feedback", "rollback", "0", "/", "0", "no", "data", "yet"]


def test_json_has_the_messages_own_fields(admin: Admin) -> None:
    found = json.loads(run(admin, "status", "tickets", "--json").stdout)
    assert (found["state"], found["look"]["estimates"][0]["z"], found["gateways"][1]["ready"]) == ("canary", 4.5, False)
    assert json.loads(run(admin, "ls", "tickets", "--json").stdout)[0]["route"] == "tickets"
    assert admin.asked[0].route == "tickets"


@pytest.mark.parametrize("verb", ["start", "advance", "approve", "resume", "promote", "rollback", "cancel"])
def test_a_change_carries_its_reason_its_actor_and_the_revision(admin: Admin, verb: str) -> None:
    result = run(admin, verb, "tickets", "--reason", " because ", "--actor", "dana", "--revision", "14")
    assert result.exit_code == 0, result.output
    (asked,) = admin.asked
    assert type(asked).__name__ == f"{verb.capitalize()}RolloutRequest"
    assert (asked.change.route, asked.change.reason, asked.change.actor) == ("tickets", "because", "dana")
    assert asked.change.revision == 14
    assert "waits for: 210 units" in result.stdout
    run(admin, verb, "tickets", "--reason", "again")
    assert not admin.asked[-1].change.HasField("revision")


def test_a_change_without_a_reason_is_wrong_usage(admin: Admin) -> None:
    for given in ([], ["--reason", "  "]):
        result = run(admin, "rollback", "tickets", *given)
        assert result.exit_code == 2
        assert "--reason is needed" in result.stderr
    assert admin.asked == []


def test_watching_says_each_change_once_and_ends_by_the_verdict(admin: Admin) -> None:
    end = rollout(state=rollout_pb2.ROLLOUT_STATE_ROLLED_BACK, revision=15)
    end.share = 0
    end.last_transition.message = "format: the candidate is +14.60 points beyond what it may be."
    admin.watched = [rollout(), rollout(), end, rollout(revision=16)]
    result = run(admin, "watch", "tickets")
    assert result.exit_code == 1
    assert result.stdout.splitlines() == [
        "2026-11-27 12:00:00 UTC  canary  25%  210 units of stable and 31 of the candidate, expected at least 50 of "
        "each.",
        "2026-11-27 12:00:00 UTC  rolled back  0%  format: the candidate is +14.60 points beyond what it may be.",
    ]
    admin.watched = [rollout(state=rollout_pb2.ROLLOUT_STATE_PROMOTED)]
    result = run(admin, "watch", "tickets", "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["state"] == "promoted"


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"live": False}, "no heartbeat: not waited for"),
        ({"live": True}, "its configuration has another spec: it serves the stable variant"),
        ({"live": True, "same_spec": True, "overridden": True}, "rolled back by hand here alone"),
    ],
)
def test_a_gateway_that_does_not_follow_says_why(admin: Admin, fields: dict[str, bool], said: str) -> None:
    admin.now.gateways.add(id="c", address="10.0.0.3:7601", applied_revision=14, **fields)
    line = run(admin, "status", "tickets").stdout.splitlines()[-1]
    assert line.startswith("c (10.0.0.3:7601)")
    assert said in line


def test_a_rollout_that_waits_for_a_person_names_the_command(admin: Admin) -> None:
    admin.now.ClearField("look")
    admin.now.state = rollout_pb2.ROLLOUT_STATE_PENDING
    assert "waits for:   trivet rollout start tickets" in run(admin, "status", "tickets").stdout
    admin.now.state = rollout_pb2.ROLLOUT_STATE_AWAITING_APPROVAL
    assert "waits for:   trivet rollout approve tickets" in run(admin, "status", "tickets").stdout


def test_times_are_told_in_the_unit_that_fits() -> None:
    told = [seconds(value) for value in (0.25, 90, 600, 8000, 400_000)]
    assert told == ["0.25 s", "90 s", "10 min", "2.22 h", "4.63 d"]


def test_a_shadow_is_told_by_its_pairs(admin: Admin) -> None:
    admin.now = shadowed()
    result = run(admin, "status", "tickets")
    assert result.exit_code == 0
    told = " ".join(result.output.split())
    assert "90 copies that sorter-2 answered, of 31 units" in told
    assert "40 no unit, 7 copies that were not compared" in told
    assert "-2.00" in told
    assert "0 / 31" in told
