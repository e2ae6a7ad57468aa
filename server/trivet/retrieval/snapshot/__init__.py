"""One snapshot: what it holds, how it is searched and checked."""
