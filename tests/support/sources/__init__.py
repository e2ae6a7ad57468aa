"""Servers that adapters and models are fetched from."""
