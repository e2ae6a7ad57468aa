"""How often `trivet advise` is right where the right advice is known."""
