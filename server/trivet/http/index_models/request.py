"""Texts for the models of the indexes, as clients send them.

Sources: https://platform.openai.com/docs/api-reference/embeddings/create, https://jina.ai/reranker (the form that Jina,
Cohere and vLLM's server share).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema

from trivet.http.forms.form import Form
from trivet.http.forms.parameters import Int32, one_or_more, texts_schema

MOST_TEXTS = 128
MOST_CHARACTERS = 8192  # of a text
MOST_QUERY = 2048

_STRING: dict[str, Any] = {"type": "string", "minLength": 1, "maxLength": MOST_CHARACTERS}
_DOCUMENT: dict[str, Any] = {
    "anyOf": [
        _STRING,
        {"type": "object", "required": ["text"], "properties": {"text": _STRING}, "additionalProperties": False},
    ]
}
Name = Annotated[str, Field(min_length=1, max_length=128)]
Text = Annotated[str, Field(min_length=1, max_length=MOST_CHARACTERS)]


def _texts(value: object) -> object:
    """A string or some; ids of tokens would be those of another tokenizer."""
    texts = one_or_more(value)
    if isinstance(texts, list) and texts and not isinstance(texts[0], str):
        raise ValueError("expected a string or a list of strings: ids of tokens are not taken")
    return texts


def _document(value: object) -> object:
    """A string, or an object that has it in `text`."""
    return value["text"] if isinstance(value, dict) and value.keys() == {"text"} else value


class EmbeddingRequest(Form):
    """The body of `POST /v1/embeddings`. `model` is an index; `input_type` says which of its model's prompts the texts
    get, where it has any."""

    model: Name
    input: Annotated[
        list[Text],
        BeforeValidator(_texts),
        Field(min_length=1, max_length=MOST_TEXTS),
        texts_schema(most=MOST_TEXTS, characters=MOST_CHARACTERS),
    ]
    encoding_format: Literal["float", "base64"] | None = "float"
    dimensions: Int32 | None = None
    user: Annotated[str, Field(max_length=256)] | None = None
    input_type: Literal["query", "document"] | None = None


class RerankRequest(Form):
    """The body of `POST /v1/rerank`. `model` is an index that a route reranks with."""

    model: Name
    query: Annotated[str, Field(min_length=1, max_length=MOST_QUERY)]
    documents: Annotated[
        list[Annotated[Text, BeforeValidator(_document), WithJsonSchema(_DOCUMENT)]],
        Field(min_length=1, max_length=MOST_TEXTS),
    ]
    top_n: Annotated[int, Field(ge=1, lt=2**31)] | None = None
    return_documents: bool | None = True
