"""Ordering candidates anew by a cross-encoder."""
