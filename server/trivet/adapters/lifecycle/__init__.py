"""What should be loaded and what is: desired state, reconciling, leases, the engine's slots."""
