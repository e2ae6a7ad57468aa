"""`POST /v1/messages`: answers in Anthropic's form."""

from trivet.http.anthropic.endpoint import Messages

__all__ = ["Messages"]
