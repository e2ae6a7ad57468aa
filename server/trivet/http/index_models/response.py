"""Vectors and scores in the forms that clients read. Sources: see `request`."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from typing import Any

from google.protobuf.json_format import MessageToDict

from trivet.http.index_models.request import EmbeddingRequest, RerankRequest
from trivet.rpc.wire import receipt_to_proto
from trivet.types.answer import Embedded, Reranked, Vector
from trivet.types.receipt import Receipt


def embeddings(asked: EmbeddingRequest, found: Embedded, receipt: Receipt) -> bytes:
    """One object for each text. Blocking: a vector at a time, so that others have the interpreter between."""
    write = _as_base64 if asked.encoding_format == "base64" else _as_numbers
    data = [
        f'{{"object":"embedding","index":{number},"embedding":{write(vector)}}}'
        for number, vector in enumerate(found.vectors)
    ]
    usage = {"prompt_tokens": found.tokens, "total_tokens": found.tokens}
    head = f'{{"object":"list","model":{json.dumps(asked.model)},"usage":{json.dumps(usage)},'
    head += f'"trivet":{json.dumps(_extension(receipt))},"data":['
    return (head + ",".join(data) + "]}").encode()


def _as_numbers(vector: Vector) -> str:
    """The shortest decimals that are these numbers in single precision."""
    return "[" + ",".join(map(str, vector)) + "]"


def _as_base64(vector: Vector) -> str:
    """Of its numbers in single precision, the least significant byte first."""
    return '"' + base64.b64encode(vector.astype("<f4").tobytes()).decode() + '"'


def ranking(asked: RerankRequest, found: Reranked, receipt: Receipt) -> bytes:
    """The best documents first; those with the same score in the order in which they came."""
    order = sorted(range(len(found.scores)), key=lambda number: -found.scores[number])[: asked.top_n]
    told = {
        "id": f"rerank-{receipt.request_id}",
        "model": asked.model,
        "usage": {"prompt_tokens": found.tokens, "total_tokens": found.tokens},
        "results": [_result(number, found.scores, asked) for number in order],
        "trivet": _extension(receipt),
    }
    return json.dumps(told, ensure_ascii=False).encode()


def _extension(receipt: Receipt) -> dict[str, Any]:
    return {"receipt": MessageToDict(receipt_to_proto(receipt), preserving_proto_field_name=True)}


def _result(number: int, scores: Sequence[float], asked: RerankRequest) -> dict[str, Any]:
    told: dict[str, Any] = {"index": number, "relevance_score": scores[number]}
    return {**told, "document": {"text": asked.documents[number]}} if asked.return_documents else told
