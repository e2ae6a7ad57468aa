"""`/v1/embeddings` and `/v1/rerank`: the models of the indexes."""

from trivet.http.index_models.endpoint import IndexModelCalls

__all__ = ["IndexModelCalls"]
