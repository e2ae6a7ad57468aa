"""Each alert caused for real, and heard through a real Alertmanager."""
