"""What the fields of a request say, checked."""
