"""A base model with an adapter merged in."""
