"""`/v1/chat/completions`: requests, whole answers and streams in OpenAI's form."""

from trivet.http.chat.endpoint import ChatCompletions
from trivet.http.chat.request import ChatCompletionRequest

__all__ = ["ChatCompletionRequest", "ChatCompletions"]
