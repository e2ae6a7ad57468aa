"""JSON schemas that answers are constrained by: which of them the engine enforces, and within which bounds."""
