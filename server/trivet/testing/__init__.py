"""Stand-ins for the engine and the vector engine: for unit tests, and for measuring the gateway's own overhead."""

from trivet.testing.backend import ScriptedBackend
from trivet.testing.retriever import ScriptedRetriever

__all__ = ["ScriptedBackend", "ScriptedRetriever"]
