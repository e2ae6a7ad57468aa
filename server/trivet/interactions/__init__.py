"""The interaction log: what was asked and answered, where a route keeps it, for people and for training."""
