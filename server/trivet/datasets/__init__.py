"""Training and evaluation data out of the interaction log."""
