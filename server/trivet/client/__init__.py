"""The client of a server, for threads (`Client`) and event loops (`AsyncClient`).

The distribution `trivet-client` holds this package and the contract's messages (`trivet.api.v1`), without the server.
"""

from trivet.client.aio import AsyncClient
from trivet.client.failure import CallFailed
from trivet.client.pieces import PIECE_BYTES, in_pieces
from trivet.client.retry import Retry
from trivet.client.stream import AnswerStream, AsyncAnswerStream
from trivet.client.sync import Client
from trivet.client.target import DEFAULT_ADDRESS, DEFAULT_ADMIN_ADDRESS, Target

__all__ = [
    "DEFAULT_ADDRESS",
    "DEFAULT_ADMIN_ADDRESS",
    "PIECE_BYTES",
    "AnswerStream",
    "AsyncAnswerStream",
    "AsyncClient",
    "CallFailed",
    "Client",
    "Retry",
    "Target",
    "in_pieces",
]
