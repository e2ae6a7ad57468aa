"""Documents, indexes, vector engines."""
