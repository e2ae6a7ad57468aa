"""A retrieval service as a team would put it together: FastAPI, LlamaIndex, Qdrant's client, OpenAI's client.

Run by uvicorn in an environment of its own (`glue.txt`); it imports nothing of Trivet's. It has no deadlines, filters,
tenants, citations, receipts or metrics.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from llama_index.core import StorageContext, VectorStoreIndex
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.llms import MockLLM
from llama_index.core.node_parser import SentenceSplitter
from llama_index.core.retrievers import QueryFusionRetriever
from llama_index.core.schema import Document
from llama_index.retrievers.bm25 import BM25Retriever
from llama_index.vector_stores.qdrant import QdrantVectorStore
from openai import AsyncOpenAI
from pydantic import PrivateAttr
from qdrant_client import QdrantClient
from tokenizers import Tokenizer

CANDIDATES = 50
PREFACE = "Answer from these passages."


class OnnxEmbedding(BaseEmbedding):  # type: ignore[misc,unused-ignore]
    """The exported model, one text at a time."""

    _session: Any = PrivateAttr()
    _tokenizer: Any = PrivateAttr()

    def __init__(self, folder: Path) -> None:
        super().__init__(embed_batch_size=1)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        graph = next(iter(sorted(folder.glob("*.onnx"))))
        self._session = onnxruntime.InferenceSession(str(graph), options)
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))

    def _vector(self, text: str) -> list[float]:
        ids = np.array([self._tokenizer.encode(text).ids[:256]], dtype=np.int64)
        (vectors,) = self._session.run(None, {self._session.get_inputs()[0].name: ids})
        vector: list[float] = np.asarray(vectors[0], dtype=np.float32).tolist()
        return vector

    _get_text_embedding = _get_query_embedding = _vector

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return self._vector(query)


def _retriever(corpus: Path, embedding: Path) -> Any:
    documents = [Document(text=path.read_text()) for path in sorted(corpus.rglob("*.md"))]
    nodes = SentenceSplitter(chunk_size=200, chunk_overlap=0).get_nodes_from_documents(documents)
    store = QdrantVectorStore("glue", client=QdrantClient(":memory:"))
    model = OnnxEmbedding(embedding)
    context = StorageContext.from_defaults(vector_store=store)
    by_meaning = VectorStoreIndex(nodes, storage_context=context, embed_model=model)
    dense = by_meaning.as_retriever(similarity_top_k=CANDIDATES)
    words = BM25Retriever.from_defaults(nodes=nodes, similarity_top_k=CANDIDATES)
    return QueryFusionRetriever(
        [dense, words], llm=MockLLM(), num_queries=1, similarity_top_k=1, mode="reciprocal_rerank", use_async=False
    )


app = FastAPI()
retriever = _retriever(Path(os.environ["GLUE_CORPUS"]), Path(os.environ["GLUE_EMBEDDING"]))
openai = AsyncOpenAI(base_url=os.environ["GLUE_UPSTREAM"], api_key="none")


@app.get("/health")
async def health() -> dict[str, str]:
    """It serves."""
    return {"status": "ok"}


@app.post("/v1/chat/completions")
async def chat(body: dict[str, Any]) -> StreamingResponse:
    """Search, and pass on what the model server streams."""
    *turns, question = body["messages"]
    found = retriever.retrieve(question["content"])
    passages = "\n".join(one.node.get_content() for one in found)
    asked = {"role": "user", "content": f"{PREFACE}\n{passages}\n{question['content']}"}
    stream = await openai.chat.completions.create(**{**body, "messages": [*turns, asked]})

    async def events() -> AsyncIterator[str]:
        async for chunk in stream:
            yield f"data: {chunk.model_dump_json()}\n\n"
        yield "data: [DONE]\n\n"

    return StreamingResponse(events(), media_type="text/event-stream")
