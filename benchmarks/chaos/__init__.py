"""Adapters replaced and engines killed while answers are compared."""
