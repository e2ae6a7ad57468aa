"""For LlamaIndex users: a retriever over a running server, and a loader of nodes into one of its indexes."""

from trivet.integrations.llama_index.loader import IndexLoader, Loaded, LoadReport, Refused
from trivet.integrations.llama_index.retriever import TrivetRetriever

__all__ = ["IndexLoader", "LoadReport", "Loaded", "Refused", "TrivetRetriever"]
