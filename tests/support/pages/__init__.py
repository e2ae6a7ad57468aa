"""The documents of this repository, and its installation."""
