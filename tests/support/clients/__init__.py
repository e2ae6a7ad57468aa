"""Clients of other people, each in an environment that fits it."""
