"""The state store, measured on both of its databases."""
