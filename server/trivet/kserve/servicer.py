"""The service of the Open Inference Protocol: its models are routes, and its inferences go through the one pipeline."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

from trivet import __version__
from trivet.errors import BackendUnavailable, UnknownRoute
from trivet.kserve.inference import Inferences
from trivet.kserve.request import VERSION, check_version
from trivet.kserve.tensors import INPUTS, OUTPUTS
from trivet.kserve.v2 import open_inference_pb2 as pb
from trivet.kserve.v2 import open_inference_pb2_grpc
from trivet.routing.table import RouteTable
from trivet.rpc.call import Call, Context, rpc_call
from trivet.rpc.intake import RequestIntake
from trivet.rpc.messages.reading import Unreadable
from trivet.types.variant import Route, Variant

SERVICE = pb.DESCRIPTOR.services_by_name["GRPCInferenceService"].full_name
PLATFORM = "trivet_route"
_RETRY_AFTER = 5.0  # seconds: engines take tens of them to start


@dataclass(frozen=True, slots=True)
class InferenceModels:
    """What stands behind the service."""

    routes: RouteTable
    is_ready: Callable[[Route, Variant], bool]
    intake: RequestIntake
    inferences: Inferences


class OpenInferenceServicer(open_inference_pb2_grpc.GRPCInferenceServiceServicer):
    """Implements `inference.GRPCInferenceService`: nothing but liveness until the models are there."""

    def __init__(self, ready: Callable[[], bool]) -> None:
        """`ready`: whether requests are answered."""
        self._ready = ready
        self._models: InferenceModels | None = None

    def serve(self, models: InferenceModels) -> None:
        """From now on requests are theirs."""
        self._models = models

    async def ServerLive(self, request: pb.ServerLiveRequest, context: Context) -> Any:
        """The process lives."""
        async with rpc_call(context):
            _readable(request)
            return pb.ServerLiveResponse(live=True)

    async def ServerReady(self, request: pb.ServerReadyRequest, context: Context) -> Any:
        """Whether requests are answered."""
        async with rpc_call(context):
            _readable(request)
            return pb.ServerReadyResponse(ready=self._models is not None and self._ready())

    async def ServerMetadata(self, request: pb.ServerMetadataRequest, context: Context) -> Any:
        """What this is."""
        async with rpc_call(context):
            _readable(request)
            return pb.ServerMetadataResponse(name="trivet", version=__version__, extensions=["parameters"])

    async def ModelReady(self, request: pb.ModelReadyRequest, context: Context) -> Any:
        """Whether a route is answered by each variant that has weight; no for one that the caller may not call."""
        async with rpc_call(context) as call:
            _readable(request)
            models = self._served()
            route = _route(models, call, request.name)
            ready = route is not None and request.version in ("", VERSION) and _is_warm(models, route)
            return pb.ModelReadyResponse(ready=ready)

    async def ModelMetadata(self, request: pb.ModelMetadataRequest, context: Context) -> Any:
        """What a route takes and gives."""
        async with rpc_call(context) as call:
            _readable(request)
            if _route(self._served(), call, request.name) is None:
                raise UnknownRoute(request.name)
            check_version(request.version)
            found = pb.ModelMetadataResponse(name=request.name, versions=[VERSION], platform=PLATFORM)
            for tensors, known in ((found.inputs, INPUTS), (found.outputs, OUTPUTS)):
                for name, datatype in known.items():
                    tensors.add(name=name, datatype=datatype, shape=[1])
            return found

    async def ModelInfer(self, request: pb.ModelInferRequest, context: Context) -> Any:
        """Answer with one message."""
        async with rpc_call(context) as call:
            _readable(request)
            return await self._served().inferences.infer(request, call)

    async def ModelStreamInfer(self, requests: AsyncIterator[pb.ModelInferRequest], context: Context) -> None:
        """Answer each request of the stream."""
        async with rpc_call(context) as call:
            models = self._served()
            models.intake.tenant(call)
            # Apart from the first message: gRPC cannot end a call when a write that also sends its headers is cut off.
            await context.send_initial_metadata(())
            await models.inferences.stream(requests, call, context)

    def _served(self) -> InferenceModels:
        if self._models is None:
            raise BackendUnavailable("the server is starting", _RETRY_AFTER)
        return self._models


def add_to_server(servicer: OpenInferenceServicer, server: Any) -> None:
    """Register it, for `Listener.serve`."""
    open_inference_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(servicer, server)


def _route(models: InferenceModels, call: Call, name: str) -> Route | None:
    """The route of this name, None if there is none that the caller may call. Raises Unauthenticated."""
    caller = models.intake.caller(call)
    name = name.partition(":")[0]
    return models.routes.routes.get(name) if caller.may_call(name) else None


def _is_warm(models: InferenceModels, route: Route) -> bool:
    weighted = [variant for name, variant in route.variants.items() if route.weights.get(name, 0) > 0]
    return all(models.is_ready(route, variant) for variant in weighted)


def _readable(request: Any) -> None:
    """Raises what kept a message from being read."""
    if isinstance(request, Unreadable):
        raise request.error
