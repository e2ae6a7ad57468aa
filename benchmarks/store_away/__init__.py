"""Serving while the state store is away, beside serving while it is there."""
