"""Requests of every kind and fate, and every account of them set against every other."""
