"""The whole server killed while adapters are loaded and replaced."""
