"""Adapters as trainers write them, made adapters as they are served."""
