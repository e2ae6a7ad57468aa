"""Commands that put one request to a running server."""
