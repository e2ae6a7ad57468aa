"""The listeners: gRPC servers with health, reflection, keep-alive rules and TLS."""

from trivet.rpc.server.health import ADMIN, INFERENCE, LIVENESS, Health
from trivet.rpc.server.listener import Listener, ListenerSettings
from trivet.rpc.server.startup import StartingServicer
from trivet.rpc.server.tls import TlsFiles, ssl_context

__all__ = [
    "ADMIN",
    "INFERENCE",
    "LIVENESS",
    "Health",
    "Listener",
    "ListenerSettings",
    "StartingServicer",
    "TlsFiles",
    "ssl_context",
]
