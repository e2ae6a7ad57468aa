"""A completion as a client asks for it. Source: https://platform.openai.com/docs/api-reference/completions/create

The contract's own bounds (`trivet.rpc.messages.bounds`) hold for what comes out of it; here only the form is checked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

from pydantic import BeforeValidator, Field

from trivet.api.v1 import inference_pb2
from trivet.http.forms.parameters import Int32, Parameters, StreamOptions, neutral, one_or_more, texts_schema

MOST_PROMPTS = 16
RENAMED: Mapping[str, str] = {
    "route": "model",
    "adapter": "model",
    "unit_id": "user",
    "labels": "metadata",
    "variables": "trivet.variables",
    "retrieval": "trivet.retrieval",
    "template_variables": "chat_template_kwargs",
    "top_logprobs": "logprobs",
    "messages": "prompt",
}
"""What fields are called here that the contract calls otherwise."""


def _texts(value: object) -> object:
    """A string or some; ids of tokens could be those of control tokens."""
    texts = one_or_more(value)
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise ValueError("expected a string or a list of strings: ids of tokens are not taken")
    if not all(texts):
        raise ValueError("is empty, expected a text to be continued")
    return texts


class CompletionRequest(Parameters):
    """The body of `POST /v1/completions`."""

    prompt: Annotated[
        list[str],
        BeforeValidator(_texts),
        Field(min_length=1, max_length=MOST_PROMPTS),
        texts_schema(most=MOST_PROMPTS),
    ]
    stream_options: StreamOptions | None = None
    max_tokens: Int32 | None = None
    n: Int32 | None = None
    logprobs: Int32 | None = None
    logit_bias: Annotated[None, neutral({})] = None
    best_of: Annotated[None, neutral(1)] = None
    echo: Annotated[None, neutral(False)] = None
    suffix: Annotated[None, neutral("")] = None

    def messages(self) -> Sequence[inference_pb2.GenerateRequest]:
        """The same in the contract's words, a request for each text."""
        asked = self.request(max_tokens=self.max_tokens, top_logprobs=self.logprobs, effort=None, answers=self.n)
        found = []
        for text in self.prompt:
            one = inference_pb2.GenerateRequest()
            one.CopyFrom(asked)
            one.prompt = text
            found.append(one)
        return found
