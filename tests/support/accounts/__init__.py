"""Stores and the database servers under them."""
