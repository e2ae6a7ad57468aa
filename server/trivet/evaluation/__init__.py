"""Evaluation: the same questions to several arms of a running server, scored, compared and gated.

It talks to the gateway as any client does and knows nothing of the server's layers.
"""
