"""What is learned from, as it lies in files."""
