"""Small models and engines."""
