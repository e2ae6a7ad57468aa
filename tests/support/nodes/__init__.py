"""Engine nodes for tests."""
