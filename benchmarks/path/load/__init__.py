"""The load generator, a process of its own."""
