"""A hostile client beside others."""
