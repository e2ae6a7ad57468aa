"""Trivet: a hybrid RAG + adapter inference server."""

from importlib.metadata import version

__version__ = version("trivet")
