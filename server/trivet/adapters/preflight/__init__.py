"""What an adapter must be before an engine may see it."""
