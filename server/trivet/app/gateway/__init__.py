"""The whole server, put together."""

from trivet.app.gateway.gateway import Gateway

__all__ = ["Gateway"]
