"""Qdrant's protocol in the engine's terms; what the engine cannot do is refused."""
