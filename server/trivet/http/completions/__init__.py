"""`/v1/completions`: texts that are continued, for routes whose prompts are raw, in OpenAI's form."""

from trivet.http.completions.endpoint import Completions

__all__ = ["Completions"]
