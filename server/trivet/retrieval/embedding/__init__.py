"""Embedding models: their export, their processes, their cache."""
