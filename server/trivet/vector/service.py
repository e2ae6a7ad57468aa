"""A gRPC service of the protocol from its descriptor: total, so that no call is silently missing."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

import grpc
from google.protobuf.message_factory import GetMessageClass

from trivet.vector.engine.collection_loader import is_fault
from trivet.vector.strict import Missing, Unsupported

_log = logging.getLogger(__name__)

Call = Callable[[Any], Any]


def service(descriptor: Any, calls: Mapping[str, Call]) -> grpc.GenericRpcHandler:
    """Handlers for every method of a service `descriptor`: those in `calls` do, all others answer UNIMPLEMENTED.

    A call takes the request message and returns the response message. Raises ValueError for a name in `calls` that the
    service does not have.
    """
    methods = {method.name: method for method in descriptor.methods}
    if unknown := set(calls) - set(methods):
        raise ValueError(f"{descriptor.full_name} has no {', '.join(sorted(unknown))}")
    handlers = {
        name: grpc.unary_unary_rpc_method_handler(
            _guarded(calls.get(name) or _refuse(f"{descriptor.full_name}/{name}")),
            request_deserializer=GetMessageClass(method.input_type).FromString,
            response_serializer=GetMessageClass(method.output_type).SerializeToString,
        )
        for name, method in methods.items()
    }
    return grpc.method_handlers_generic_handler(descriptor.full_name, handlers)


def _refuse(what: str) -> Call:
    def refuse(_request: Any) -> Any:
        raise Unsupported(what)

    return refuse


def _guarded(call: Call) -> Callable[[Any, Any], Any]:
    """`call` as an async handler. One whose client gave up while it waited is never begun: gRPC sees to that."""

    async def handler(request: Any, context: Any) -> Any:
        try:
            return call(request)
        except Unsupported as error:
            await context.abort(grpc.StatusCode.UNIMPLEMENTED, str(error))
        except Missing as error:
            await context.abort(grpc.StatusCode.NOT_FOUND, str(error))
        except ValueError as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        except BaseException as error:
            if not is_fault(error):
                raise
            _log.exception("the engine failed")
            await context.abort(grpc.StatusCode.INTERNAL, f"{type(error).__name__}: {error}")

    return handler
