"""The routes while they are served: warm before weight, and changes under load."""
