"""Bridges from other frameworks to a running server: clients that know its contract and nothing else of it."""
