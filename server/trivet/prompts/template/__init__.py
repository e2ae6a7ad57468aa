"""Prompt files: read, checked and found by name and version."""
