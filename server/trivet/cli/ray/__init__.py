"""Engine nodes on a Ray cluster."""
