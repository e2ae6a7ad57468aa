"""Answers on their way from the engine: taken apart, and put together into chunks."""
