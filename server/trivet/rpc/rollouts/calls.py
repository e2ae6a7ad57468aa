"""What operators see of rollouts and change by hand. Every call needs an operator key."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Any

from google.protobuf.message import Message

from trivet.api.v1 import rollout_pb2
from trivet.errors import InvalidRequest
from trivet.rollouts.ports.operations import RolloutControl, RolloutStatus
from trivet.rpc.auth import Authenticator
from trivet.rpc.call import Context, rpc_call, write_bounded
from trivet.rpc.messages.reading import Unreadable
from trivet.rpc.rollouts.watches import RolloutWatches
from trivet.rpc.rollouts.wire import actor_of, batch_to_proto, check_change, rollout_to_proto, transition_to_proto

_PAGE_BYTES = 1 << 20  # of a page of the audit log, about: its evidence can be long
_BATCHES_AT_ONCE = 50
Change = Callable[..., Awaitable[RolloutStatus]]


class RolloutCalls:
    """The rollouts' part of `trivet.api.v1.Admin`."""

    def __init__(
        self, rollouts: RolloutControl, keys: Authenticator, watches: RolloutWatches, slow_reader_timeout: float
    ) -> None:
        """`slow_reader_timeout`: seconds after which a stream that is not read ends."""
        self._rollouts = rollouts
        self._keys = keys
        self._watches = watches
        self._slow_reader_timeout = slow_reader_timeout

    async def GetRollout(self, request: rollout_pb2.GetRolloutRequest, context: Context) -> Any:
        """The newest rollout of a route."""
        async with rpc_call(context, request) as call:
            call.require_operator(self._keys)
            status = await self._rollouts.status(request.route)
            return rollout_pb2.GetRolloutResponse(rollout=rollout_to_proto(status))

    async def ListRollouts(self, request: rollout_pb2.ListRolloutsRequest, context: Context) -> Any:
        """The newest rollout of each route, or the latest ones of one route."""
        async with rpc_call(context, request) as call:
            call.require_operator(self._keys)
            limit = _limit(request.limit, most=100, default=20)
            found = (
                await self._rollouts.history(request.route, limit) if request.route else await self._rollouts.statuses()
            )
            return rollout_pb2.ListRolloutsResponse(rollouts=[rollout_to_proto(status) for status in found])

    async def ListRolloutTransitions(self, request: rollout_pb2.ListRolloutTransitionsRequest, context: Context) -> Any:
        """A page of the audit log: at least one entry, if there is one, and about a mebibyte at most."""
        async with rpc_call(context, request) as call:
            call.require_operator(self._keys)
            limit = _limit(request.limit, most=1000, default=100)
            found = await self._rollouts.transitions(request.route, request.after_revision, limit + 1)
            page, size = rollout_pb2.ListRolloutTransitionsResponse(), 0
            for entry in found[:limit]:
                proto = transition_to_proto(entry)
                size += proto.ByteSize()
                if page.transitions and size > _PAGE_BYTES:
                    break
                page.transitions.append(proto)
            page.more = len(page.transitions) < len(found)
            return page

    async def ReadRolloutObservations(
        self, request: rollout_pb2.ReadRolloutObservationsRequest, context: Context
    ) -> None:
        """What decisions were made from, batch by batch."""
        async with rpc_call(context, request) as call:
            call.require_operator(self._keys)
            after = request.after_number
            while batches := await self._rollouts.batches(request.rollout, after, _BATCHES_AT_ONCE):
                for batch in batches:
                    await write_bounded(context, batch_to_proto(batch), self._slow_reader_timeout)
                after = batches[-1].number

    async def WatchRollout(self, request: rollout_pb2.WatchRolloutRequest, context: Context) -> None:
        """The rollout now and as it goes on."""
        async with rpc_call(context, request) as call:
            caller = call.require_operator(self._keys)
            with self._watches.place(caller):
                async with aclosing(self._watches.follow(self._rollouts.watch(request.route))) as statuses:
                    async for status in statuses:
                        message = rollout_pb2.WatchRolloutResponse(rollout=rollout_to_proto(status))
                        await write_bounded(context, message, self._slow_reader_timeout)

    async def StartRollout(self, request: rollout_pb2.StartRolloutRequest | Unreadable, context: Context) -> Any:
        """Begin."""
        restart = not isinstance(request, Unreadable) and request.restart  # what cannot be read is refused in `_change`
        return await self._change(request, context, "start", restart=restart)

    async def AdvanceRollout(self, request: rollout_pb2.AdvanceRolloutRequest, context: Context) -> Any:
        """To the next step."""
        return await self._change(request, context, "advance")

    async def ApproveRollout(self, request: rollout_pb2.ApproveRolloutRequest, context: Context) -> Any:
        """Agree to what it waits for."""
        return await self._change(request, context, "approve")

    async def ResumeRollout(self, request: rollout_pb2.ResumeRolloutRequest, context: Context) -> Any:
        """Go on after a halt."""
        return await self._change(request, context, "resume")

    async def PromoteRollout(self, request: rollout_pb2.PromoteRolloutRequest, context: Context) -> Any:
        """All units to the candidate."""
        return await self._change(request, context, "promote")

    async def RollbackRollout(self, request: rollout_pb2.RollbackRolloutRequest, context: Context) -> Any:
        """All units to the stable variant."""
        return await self._change(request, context, "rollback")

    async def CancelRollout(self, request: rollout_pb2.CancelRolloutRequest, context: Context) -> Any:
        """End without a verdict."""
        return await self._change(request, context, "cancel")

    async def _change(self, request: Any, context: Context, verb: str, **options: Any) -> Message:
        async with rpc_call(context, request) as call:
            caller = call.require_operator(self._keys)
            change: rollout_pb2.RolloutChange = request.change
            check_change(change)
            revision = change.revision if change.HasField("revision") else None
            actor, reason = actor_of(change, caller), change.reason.strip()
            make: Change = getattr(self._rollouts, verb)
            status = await make(change.route, actor=actor, reason=reason, revision=revision, **options)
            answer: Message = _ANSWERS[type(request)](rollout=rollout_to_proto(status))
            return answer


_ANSWERS = {
    rollout_pb2.StartRolloutRequest: rollout_pb2.StartRolloutResponse,
    rollout_pb2.AdvanceRolloutRequest: rollout_pb2.AdvanceRolloutResponse,
    rollout_pb2.ApproveRolloutRequest: rollout_pb2.ApproveRolloutResponse,
    rollout_pb2.ResumeRolloutRequest: rollout_pb2.ResumeRolloutResponse,
    rollout_pb2.PromoteRolloutRequest: rollout_pb2.PromoteRolloutResponse,
    rollout_pb2.RollbackRolloutRequest: rollout_pb2.RollbackRolloutResponse,
    rollout_pb2.CancelRolloutRequest: rollout_pb2.CancelRolloutResponse,
}


def _limit(asked: int, *, most: int, default: int) -> int:
    if not 0 <= asked <= most:
        raise InvalidRequest({"limit": f"{asked}, expected 1 to {most:,}, or 0 for {default}"})
    return asked or default
