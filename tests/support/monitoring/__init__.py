"""Metrics that exist, and queries that ask for them."""
