"""How the outputs of an engine's process come to the answers that they belong to."""
