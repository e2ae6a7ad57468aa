"""A LlamaIndex retriever over the gateway's `Retrieve`."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Any

from llama_index.core.retrievers import BaseRetriever
from llama_index.core.schema import NodeRelationship, NodeWithScore, QueryBundle, RelatedNodeInfo, TextNode

from trivet.api.v1 import inference_pb2
from trivet.client import AsyncClient, Client, Target

# For programs, not for a model or an embedding: only the title says something about the text.
_TECHNICAL = ["document_id", "revision", "passage_id", "start", "end", "similarity", "index", "snapshot"]


class TrivetRetriever(BaseRetriever):  # type: ignore[misc]  # LlamaIndex is not checked
    """Finds what a `Generate` with the same text would be given: the server's index, tenants' filter and deadline.

    Each node is one passage: its id is the passage's, its score the server's, its text the passage's, its source node
    the document. `metadata`: `document_id`, `title`, `revision`, `start` and `end` (characters in the document's text),
    `passage_id`, `index`, `snapshot`, and `similarity` where the server computed it. Embeddings of a QueryBundle are
    not used: the server embeds.
    """

    def __init__(
        self,
        target: Target,
        *,
        route: str = "",
        index: str = "",
        unit_id: str = "",
        top_k: int | None = None,
        tags: Sequence[str] = (),
        deadline: float = 5.0,
        **options: Any,
    ) -> None:
        """`route`: search as this route does, `unit_id` chooses the variant; or `index`, which needs an operator key.

        `tags`: only documents that hold all of them. `deadline`: seconds of a search. `target.key` is the credential,
        and with it the tenant. `options` are BaseRetriever's. Raises ValueError unless route or index is given.
        """
        if bool(route) == bool(index):
            raise ValueError("expected either a route or an index")
        super().__init__(**options)
        self._request = inference_pb2.RetrieveRequest(
            route=route, index=index, unit_id=unit_id, top_k=top_k, filter=list(tags)
        )
        self._client = Client(target, timeout=deadline)
        self._async_client = AsyncClient(target, timeout=deadline)

    def __enter__(self) -> TrivetRetriever:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the synchronous connections; those of event loops are closed by `aclose`."""
        self._client.close()

    async def aclose(self) -> None:
        """Close everything; from the event loop that searched."""
        await self._async_client.close()
        self.close()

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        """Raises trivet.client.CallFailed, with `code` DEADLINE_EXCEEDED past the deadline."""
        return _nodes(self._client.retrieve(self._asking(query_bundle)))

    async def _aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        """The same without blocking the event loop; cancelling it cancels the call."""
        return _nodes(await self._async_client.retrieve(self._asking(query_bundle)))

    def _asking(self, query_bundle: QueryBundle) -> inference_pb2.RetrieveRequest:
        request = inference_pb2.RetrieveRequest()
        request.CopyFrom(self._request)
        request.text = query_bundle.query_str
        return request


def _nodes(response: inference_pb2.RetrieveResponse) -> list[NodeWithScore]:
    return [NodeWithScore(node=_node(citation, response), score=citation.score) for citation in response.citations]


def _node(citation: inference_pb2.Citation, response: inference_pb2.RetrieveResponse) -> TextNode:
    metadata: dict[str, Any] = {
        "document_id": citation.document_id,
        "title": citation.title,
        "revision": citation.revision,
        "passage_id": citation.passage_id,
        "start": citation.start,
        "end": citation.end,
        "index": response.index,
        "snapshot": response.snapshot,
    }
    if citation.HasField("similarity"):
        metadata["similarity"] = citation.similarity
    return TextNode(
        id_=citation.passage_id,
        text=citation.text,
        metadata=metadata,
        excluded_embed_metadata_keys=_TECHNICAL,
        excluded_llm_metadata_keys=_TECHNICAL,
        start_char_idx=citation.start,
        end_char_idx=citation.end,
        relationships={NodeRelationship.SOURCE: RelatedNodeInfo(node_id=citation.document_id)},
    )
