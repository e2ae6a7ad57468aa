"""What training takes and brings: memory, and objectives on held-out data."""
