"""Adapters, good and bad ones."""
