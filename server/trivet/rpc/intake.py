"""Requests for an answer or a search, checked: the same for every door that they come through."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Protocol

from trivet.api.v1 import inference_pb2
from trivet.current_request import CURRENT_TRACE
from trivet.fairness.fair_semaphore import FairSemaphore
from trivet.rpc.auth import Authenticator, require_route
from trivet.rpc.request.calls import generate_call, priority_of, retrieve_call, variant_of
from trivet.schemas.limits import DEFAULT_LIMITS, SchemaLimits
from trivet.types.answer import RetrieveCall
from trivet.types.receipt import Receipt
from trivet.types.request import Caller, GenerateCall, TraceContext

SMALL_SCHEMA = 1024  # bytes; a larger one takes up to milliseconds to read, and the event loop is everybody's


BeginTrace = Callable[[str | None], TraceContext | None]


class IncomingCall(Protocol):
    """What is known of a call beside its message. Times: the event loop's clock."""

    request_id: str
    arrived: float
    deadline: float | None

    def metadata(self, name: str) -> str | None:
        """One metadata value (an HTTP header's), None if absent."""
        ...

    def close(self, receipt: Receipt) -> None:
        """Keep the receipt of a request that is refused, for its status."""
        ...


class RequestIntake:
    """Authenticates, checks, and makes what the pipelines take. All calls come from one event loop."""

    def __init__(
        self,
        keys: Authenticator,
        refuse: Callable[[GenerateCall, BaseException], Receipt],
        schema_limits: SchemaLimits = DEFAULT_LIMITS,
        begin_trace: BeginTrace = lambda _: None,
    ) -> None:
        """`refuse` makes the receipt of a request that is refused here, of which the tenant and the id are known.

        `begin_trace` gives the trace of a request with this `traceparent`, None for one that nobody traces.
        """
        self._keys = keys
        self._refuse = refuse
        self._schema_limits = schema_limits
        self._begin_trace = begin_trace
        self._schemas = FairSemaphore(1)  # large ones, and those of tools, being read

    async def generate_call(
        self, request: inference_pb2.GenerateRequest, call: IncomingCall, schema: Mapping[str, Any] | None = None
    ) -> GenerateCall:
        """`schema` stands for the message's own, which does not keep the order of fields.

        Raises Unauthenticated, PermissionDenied, and InvalidRequest that names every wrong field.
        """
        caller = self._keys.authenticate(call.metadata("authorization"))
        trace = self._trace(call)
        try:
            return await self._checked(request, call, caller, schema, trace)
        except BaseException as error:
            self._refused(call, caller.tenant, request.route, error, trace)
            raise

    def refused(self, call: IncomingCall, tenant: str, route: str, error: BaseException) -> None:
        """Give a request its receipt that is refused before it is looked into; `route` may not be known."""
        self._refused(call, tenant, route, error, self._trace(call))

    def retrieve_call(self, request: inference_pb2.RetrieveRequest, call: IncomingCall) -> RetrieveCall:
        """The same for a search; one of an index by its name is for operators."""
        authorization = call.metadata("authorization")
        keys = self._keys
        caller = keys.require_operator(authorization) if request.index else keys.authenticate(authorization)
        if not request.index:
            require_route(caller, request.route)
        return retrieve_call(
            request,
            request_id=call.request_id,
            tenant=caller.tenant,
            arrived=call.arrived,
            deadline=call.deadline,
        )

    def caller(self, call: IncomingCall) -> Caller:
        """Who calls; Unauthenticated."""
        return self._keys.authenticate(call.metadata("authorization"))

    def operator(self, call: IncomingCall) -> Caller:
        """Who calls; Unauthenticated, and PermissionDenied unless it is an operator."""
        return self._keys.require_operator(call.metadata("authorization"))

    def tenant(self, call: IncomingCall) -> str:
        """Whose call it is; Unauthenticated."""
        return self.caller(call).tenant

    def _trace(self, call: IncomingCall) -> TraceContext | None:
        trace = self._begin_trace(call.metadata("traceparent"))
        if trace is not None:
            CURRENT_TRACE.set(trace.trace_id)
        return trace

    def _refused(
        self, call: IncomingCall, tenant: str, route: str, error: BaseException, trace: TraceContext | None
    ) -> None:
        refused = GenerateCall(call.request_id, tenant, route, (), call.arrived, call.deadline, trace=trace)
        call.close(self._refuse(refused, error))

    async def _checked(
        self,
        request: inference_pb2.GenerateRequest,
        call: IncomingCall,
        caller: Caller,
        schema: Mapping[str, Any] | None,
        trace: TraceContext | None,
    ) -> GenerateCall:
        require_route(caller, request.route)
        check = partial(
            generate_call,
            request,
            request_id=call.request_id,
            caller=caller,
            arrived=call.arrived,
            deadline=call.deadline,
            priority=priority_of(call.metadata("x-trivet-priority")),
            forced_variant=variant_of(call.metadata("x-trivet-variant"), caller),
            schema_limits=self._schema_limits,
            ordered_schema=schema,
            trace=trace,
        )
        calls = bool(request.tools) or any(message.tool_calls for message in request.messages)
        if schema is None and not calls and request.json_schema.ByteSize() <= SMALL_SCHEMA:
            return check()
        async with self._schemas.slot(caller.tenant):
            return await asyncio.to_thread(check)
