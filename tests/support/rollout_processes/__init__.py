"""Rollouts in processes that are killed."""
