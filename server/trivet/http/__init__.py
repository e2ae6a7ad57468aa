"""The second door: HTTP, in OpenAI's dialect, onto the same pipelines as gRPC."""

from trivet.http.app import Door, HttpServices, application
from trivet.http.exchange import ExchangeLimits
from trivet.http.listener import HttpListener, HttpSettings, is_loopback

__all__ = ["Door", "ExchangeLimits", "HttpListener", "HttpServices", "HttpSettings", "application", "is_loopback"]
