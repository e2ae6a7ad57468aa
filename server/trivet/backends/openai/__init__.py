"""Any endpoint that speaks OpenAI's API, as a backend that is asked and never changed."""

from trivet.backends.openai.backend import OpenAiEndpoint
from trivet.backends.openai.settings import EndpointSettings

__all__ = ["EndpointSettings", "OpenAiEndpoint"]
