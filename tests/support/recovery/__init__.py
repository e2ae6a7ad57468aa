"""Data folders, and damage to them."""
