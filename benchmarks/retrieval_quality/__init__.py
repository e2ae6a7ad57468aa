"""The quality of searches on the Python manual."""
