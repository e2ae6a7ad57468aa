"""Copies of real requests to a rollout's candidate, when nobody else needs the engine."""
