"""Settings of a variant that let a model think or answer several times before it answers."""
