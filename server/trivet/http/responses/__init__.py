"""`POST /v1/responses`: answers in the form of OpenAI's Responses API."""

from trivet.http.responses.endpoint import Responses

__all__ = ["Responses"]
