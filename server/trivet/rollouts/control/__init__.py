"""Rollouts that run: what a gateway records, what the leader decides, and what every gateway then serves."""
