"""Prompt files under review: what a reader would object to, found without a model."""
