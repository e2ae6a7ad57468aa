"""The speed of searches."""
