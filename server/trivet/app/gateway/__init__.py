"""The whole server, put together."""

from trivet.app.gateway.gateway import Gateway
from trivet.app.gateway.services import Siblings

__all__ = ["Gateway", "Siblings"]
