"""Calls about rollouts, for threads."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from google.protobuf.message import Message

from trivet.api.v1 import admin_pb2_grpc, rollout_pb2
from trivet.client.failure import failures

_TRANSITIONS_AT_ONCE = 200
ResponseT = TypeVar("ResponseT")


class Rollouts:
    """A client's calls about rollouts; they raise CallFailed.

    A change says why (`reason`); `actor` is for whom the key acts, empty for its own name. With `revision` the change
    is refused (ABORTED) where the rollout is at another one by now. None is tried again.
    """

    def __init__(self, admin: admin_pb2_grpc.AdminStub, timeout: float, metadata: Sequence[tuple[str, str]]) -> None:
        self._admin = admin
        self._timeout = timeout
        self._metadata = metadata

    def get(self, route: str) -> rollout_pb2.Rollout:
        """The newest rollout of a route, ended or not."""
        return self._call(self._admin.GetRollout, rollout_pb2.GetRolloutRequest(route=route)).rollout

    def list(self, route: str = "", limit: int = 0) -> Sequence[rollout_pb2.Rollout]:
        """The newest rollout of each route, or the last ones of one `route`, newest first."""
        request = rollout_pb2.ListRolloutsRequest(route=route, limit=limit)
        return self._call(self._admin.ListRollouts, request).rollouts

    def transitions(self, route: str) -> Iterator[rollout_pb2.RolloutTransition]:
        """The audit log of a route, from the first entry on."""
        after = 0
        while True:
            answer = self._call(
                self._admin.ListRolloutTransitions,
                rollout_pb2.ListRolloutTransitionsRequest(
                    route=route, after_revision=after, limit=_TRANSITIONS_AT_ONCE
                ),
            )
            yield from answer.transitions
            if not answer.more or not answer.transitions:
                return
            after = answer.transitions[-1].revision

    def observations(self, rollout: str) -> Iterator[rollout_pb2.ReadRolloutObservationsResponse]:
        """What a rollout's decisions were made from, in the order in which it was judged. Without a time limit."""
        request = rollout_pb2.ReadRolloutObservationsRequest(rollout=rollout)
        with failures():
            yield from self._admin.ReadRolloutObservations(request, metadata=self._metadata)

    def watch(self, route: str) -> Iterator[rollout_pb2.Rollout]:
        """The route's rollout now and after each change or look, at most once a second. Without a time limit."""
        with failures():
            for event in self._admin.WatchRollout(
                rollout_pb2.WatchRolloutRequest(route=route), metadata=self._metadata
            ):
                yield event.rollout

    def start(
        self, route: str, reason: str, *, actor: str = "", revision: int | None = None, restart: bool = False
    ) -> rollout_pb2.Rollout:
        """Begin the rollout that the configuration describes; `restart`: although it ran before."""
        change = _change(route, reason, actor, revision)
        request = rollout_pb2.StartRolloutRequest(change=change, restart=restart)
        return self._call(self._admin.StartRollout, request).rollout

    def advance(self, route: str, reason: str, *, actor: str = "", revision: int | None = None) -> rollout_pb2.Rollout:
        """To the next step, whatever the data say."""
        request = rollout_pb2.AdvanceRolloutRequest(change=_change(route, reason, actor, revision))
        return self._call(self._admin.AdvanceRollout, request).rollout

    def approve(self, route: str, reason: str, *, actor: str = "", revision: int | None = None) -> rollout_pb2.Rollout:
        """Agree to what the rollout waits for."""
        request = rollout_pb2.ApproveRolloutRequest(change=_change(route, reason, actor, revision))
        return self._call(self._admin.ApproveRollout, request).rollout

    def resume(self, route: str, reason: str, *, actor: str = "", revision: int | None = None) -> rollout_pb2.Rollout:
        """Go on after a halt."""
        request = rollout_pb2.ResumeRolloutRequest(change=_change(route, reason, actor, revision))
        return self._call(self._admin.ResumeRollout, request).rollout

    def promote(self, route: str, reason: str, *, actor: str = "", revision: int | None = None) -> rollout_pb2.Rollout:
        """All units to the candidate, whatever the data say; its soak begins."""
        request = rollout_pb2.PromoteRolloutRequest(change=_change(route, reason, actor, revision))
        return self._call(self._admin.PromoteRollout, request).rollout

    def rollback(self, route: str, reason: str, *, actor: str = "", revision: int | None = None) -> rollout_pb2.Rollout:
        """All units to the stable variant, at once."""
        request = rollout_pb2.RollbackRolloutRequest(change=_change(route, reason, actor, revision))
        return self._call(self._admin.RollbackRollout, request).rollout

    def cancel(self, route: str, reason: str, *, actor: str = "", revision: int | None = None) -> rollout_pb2.Rollout:
        """End the rollout without a verdict: all units to the stable variant."""
        request = rollout_pb2.CancelRolloutRequest(change=_change(route, reason, actor, revision))
        return self._call(self._admin.CancelRollout, request).rollout

    def _call(self, method: Callable[..., ResponseT], request: Message) -> ResponseT:
        with failures():
            return method(request, timeout=self._timeout, metadata=self._metadata)


def _change(route: str, reason: str, actor: str, revision: int | None) -> rollout_pb2.RolloutChange:
    return rollout_pb2.RolloutChange(route=route, reason=reason, actor=actor, revision=revision)
