"""Passages in Qdrant: collections, writing and searching."""
